"""A yes or no of the log: a column, or a small expression on one.

    is_error = "failed"            # a column of booleans or of 0 and 1
    is_error = "not ok"            # its contrary
    is_error = "status >= 500"     # a comparison with a number
    is_error = "outcome = 'fail'"  # or with a text
    is_error = "never"             # there are no errors to see

An expression is taken apart here and put together for the engine: no text of it reaches a query as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.sql.kinds import Kind, LogColumn

NEVER = "never"
"""What `is_error` is mapped to where nothing of the log can fail."""
GRAMMAR = "a column, not COLUMN, or COLUMN followed by =, !=, <, <=, > or >= and a number or a 'text'"
_EXPRESSION = re.compile(
    r"""\s*(?:(?P<negated>not)\s+)?(?P<name>"[^"]+"|[^\s"'<>=!]+)\s*
    (?:(?P<operator><=|>=|!=|<>|=|<|>)\s*(?P<operand>-?\d+(?:\.\d+)?|'[^']*'))?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True)
class Flag:
    """When a request counts: its column is true, is false, or compares as said."""

    column: LogColumn
    is_negated: bool = False
    operator: str | None = None
    """=, <>, <, <=, > or >=; None: the column is a flag itself."""
    number: str | None = None
    text: str | None = None

    @property
    def as_written(self) -> str:
        """The mapping as a configuration has it: `not ok`, `status >= 500`."""
        name = f"not {self.column.name}" if self.is_negated else self.column.name
        if self.operator is None:
            return name
        return f"{name} {self.operator} {self.number if self.text is None else repr(self.text)}"


@dataclass(frozen=True)
class Expression:
    """A flag before its column is known."""

    name: str
    is_negated: bool = False
    operator: str | None = None
    number: str | None = None
    text: str | None = None

    @property
    def usual_kind(self) -> Kind:
        """What its column is where it cannot be looked at."""
        if self.operator is None:
            return Kind.BOOLEAN
        return Kind.TEXT if self.text is not None else Kind.NUMBER


def parse_expression(given: str) -> Expression | None:
    """`not COLUMN` or a comparison; None where it is neither."""
    found = _EXPRESSION.fullmatch(given)
    if found is None or (found["negated"] is None) == (found["operator"] is None):
        return None
    operand = found["operand"]
    is_text = operand is not None and operand.startswith("'")
    return Expression(
        name=found["name"].strip('"'),
        is_negated=found["negated"] is not None,
        operator="<>" if found["operator"] == "!=" else found["operator"],
        number=operand if operand is not None and not is_text else None,
        text=operand[1:-1] if is_text else None,
    )


def flag_of(given: str, known: Mapping[str, tuple[Kind, str]], ours: str, place: str) -> Flag:
    """The flag that a mapping names: a column of that very name, else an expression on one.

    Args:
        known: the kind of each column, and its type as the engine says it.

    Raises:
        ConfigError: there is no such column, or it cannot be what it is mapped to.
    """
    parsed = Expression(given) if given in known else parse_expression(given)
    if parsed is None or parsed.name not in known:
        raise ConfigError(
            f"{place} has no column {parsed.name if parsed else given!r} for {ours}; it has"
            f" {', '.join(known) or 'none'}: name it under [columns] in AUTO_PROMOTION_SOURCE, as {GRAMMAR}"
        )
    kind, type_name = known[parsed.name]
    fits = _kinds_for(parsed)
    if kind not in fits:
        said = ours if parsed.operator is None else f"the column of {ours} = {given!r}"
        raise ConfigError(f"column {parsed.name!r} of {place} is {type_name}: {said} must be {' or '.join(fits)}")
    return Flag(
        LogColumn(parsed.name, kind), parsed.is_negated, parsed.operator, number=parsed.number, text=parsed.text
    )


def _kinds_for(parsed: Expression) -> tuple[Kind, ...]:
    if parsed.operator is None:
        return (Kind.BOOLEAN, Kind.INTEGER)
    return (Kind.TEXT,) if parsed.text is not None else _NUMBERS
