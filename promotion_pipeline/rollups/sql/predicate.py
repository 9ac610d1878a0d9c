"""Requests that are left out of the log's sums, such as those of bots: a predicate on its columns.

    exclude = "is_bot"
    exclude = "user_agent LIKE '%bot%' OR (country IN ('T1', 'XX') AND not logged_in) OR email IS NOT NULL"

It is taken apart here and put together for the engine: no text of it reaches a query as it is, so it can be no more
than a predicate. A request of which it cannot be said (a missing value) stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.sql.dialect import Dialect
from promotion_pipeline.rollups.sql.kinds import Kind

GRAMMAR = (
    "COLUMN, COLUMN followed by =, !=, <, <=, > or >= and a number or a 'text', COLUMN [NOT] IN (...),"
    " COLUMN [NOT] LIKE 'text', COLUMN IS [NOT] NULL; joined by AND, OR, NOT and parentheses"
)
LONGEST, DEEPEST = 4000, 40
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<quoted>"[^"]+")
    |(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_COMPARISONS = ("<=", ">=", "!=", "<>", "=", "<", ">")
_WORDS = frozenset({"and", "or", "not", "in", "like", "is", "null"})
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        """A word of the grammar, in lower case; empty: something else."""
        return self.text.lower() if self.kind == "word" and self.text.lower() in _WORDS else ""


def predicate_sql(given: str, known: Mapping[str, Kind], dialect: Dialect, row: str) -> str:
    """The predicate in the engine's SQL, of the columns of `row`.

    Args:
        known: the kind of each column of the log.

    Raises:
        ConfigError: it is no predicate, or speaks of a column that the log does not have, or not of that kind.
        InputError: the engine cannot be given a text of it.
    """
    if len(given) > LONGEST:
        raise ConfigError(f"exclude has {len(given):,} characters, at most {LONGEST:,} are taken")
    parser = _Parser(given, _tokens(given), known, dialect, row)
    found = parser.any_of(0)
    if not parser.is_done:
        raise parser.refusal("ends too early, or goes on too long")
    return found


def _tokens(given: str) -> list[_Token]:
    tokens, at = [], 0
    while given[at:].strip():
        found = _TOKEN.match(given, at)
        if found is None or found.lastgroup is None:
            raise ConfigError(f"exclude={given!r}: {given[at:].strip()[:20]!r} is not understood; it is {GRAMMAR}")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return tokens


class _Parser:
    """From tokens to SQL, by descent."""

    def __init__(self, given: str, tokens: list[_Token], known: Mapping[str, Kind], dialect: Dialect, row: str) -> None:
        self._given, self._tokens, self._known, self._dialect, self._row = given, tokens, known, dialect, row
        self._at = 0

    @property
    def is_done(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._tokens)

    def refusal(self, why: str) -> ConfigError:
        """What is wrong, and what would be right."""
        return ConfigError(f"exclude={self._given!r}: {why}; it is {GRAMMAR}")

    def any_of(self, depth: int) -> str:
        """Parts joined by OR."""
        parts = [self._all_of(depth)]
        while self._takes_word("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _all_of(self, depth: int) -> str:
        parts = [self._one(depth)]
        while self._takes_word("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self, depth: int) -> str:
        if depth > DEEPEST:
            raise self.refusal(f"is nested deeper than {DEEPEST}")
        if self._takes_word("not"):
            return f"(NOT {self._one(depth + 1)})"
        if self._takes_sign("("):
            found = self.any_of(depth + 1)
            self._require_sign(")")
            return f"({found})"
        return self._test()

    def _test(self) -> str:
        token = self._next("a column")
        if token.kind not in ("word", "quoted") or token.word:
            raise self.refusal(f"{token.text!r} is no column")
        name = token.text.strip('"') if token.kind == "quoted" else token.text
        if name not in self._known:
            raise self.refusal(f"the log has no column {name!r}, it has {', '.join(self._known) or 'none'}")
        column, kind = f"{self._row}.{self._dialect.identifier(name)}", self._known[name]
        if self._takes_word("is"):
            negated = "NOT " if self._takes_word("not") else ""
            self._require_word("null")
            return f"({column} IS {negated}NULL)"
        negated = "NOT " if self._takes_word("not") else ""
        if self._takes_word("in"):
            return f"({column} {negated}IN ({self._members(name, kind)}))"
        if self._takes_word("like"):
            return f"({column} {negated}LIKE {self._pattern(name, kind)})"
        if negated:
            raise self.refusal("after a column, NOT goes with IN or LIKE")
        return self._comparison(name, column, kind)

    def _comparison(self, name: str, column: str, kind: Kind) -> str:
        for sign in _COMPARISONS:
            if self._takes_sign(sign):
                return f"({column} {'<>' if sign == '!=' else sign} {self._literal(name, kind)})"
        if kind is Kind.BOOLEAN:
            return column
        if kind is Kind.INTEGER:
            return f"({column} <> 0)"
        raise self.refusal(f"column {name!r} is {kind.value}: say what it is compared with")

    def _members(self, name: str, kind: Kind) -> str:
        self._require_sign("(")
        members = [self._literal(name, kind)]
        while self._takes_sign(","):
            members.append(self._literal(name, kind))
        self._require_sign(")")
        return ", ".join(members)

    def _pattern(self, name: str, kind: Kind) -> str:
        literal = self._literal(name, kind)
        # Engines differ in what a backslash means in a pattern.
        if kind is not Kind.TEXT or "\\" in literal:
            raise self.refusal("LIKE compares a column of text with a pattern that has no backslash")
        return literal

    def _literal(self, name: str, kind: Kind) -> str:
        token = self._next("a number or a 'text'")
        if token.kind == "number" and kind in _NUMBERS:
            return token.text
        if token.kind == "text" and kind is Kind.TEXT:
            return self._dialect.string(token.text[1:-1].replace("''", "'"))
        raise self.refusal(f"column {name!r} is {kind.value}, and cannot be compared with {token.text}")

    def _next(self, wanted: str) -> _Token:
        if self.is_done:
            raise self.refusal(f"ends where {wanted} is needed")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes_word(self, word: str) -> bool:
        return self._takes(not self.is_done and self._tokens[self._at].word == word)

    def _takes_sign(self, sign: str) -> bool:
        return self._takes(not self.is_done and self._tokens[self._at] == _Token("sign", sign))

    def _takes(self, fits: bool) -> bool:
        self._at += fits
        return fits

    def _require_word(self, word: str) -> None:
        if not self._takes_word(word):
            raise self.refusal(f"{word.upper()} is missing")

    def _require_sign(self, sign: str) -> None:
        if not self._takes_sign(sign):
            raise self.refusal(f"{sign!r} is missing")
