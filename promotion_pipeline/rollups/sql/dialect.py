"""What differs between the engines: quoting, literals, types, and the hour of a time.

An hour is the whole number of hours since 1970, and every instant is written with its offset: no expression here
depends on a session's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.kinds import USUAL_KINDS, Kind
from promotion_pipeline.store.usable import LARGEST, SMALLEST

WHITE_SPACE = "\t\n\v\f\r"
"""What else than the space is white space."""


class Cell(StrEnum):
    """What a column of inline rows holds."""

    WHOLE = "whole"
    """A whole number."""
    TEXT = "text"
    """A key of text."""
    UUID = "uuid"
    """A key of the engine's type of UUIDs."""
    TIME = "time"
    """An instant, to be compared with the log's column of times."""


@dataclass(frozen=True)
class TimeForm:
    """Expressions on a column of times."""

    literal: str
    """Of {text} ('2026-01-31 12:00:00.000000', UTC) or {micros}."""
    bucket: str
    """What is the same for all {time} of an hour, and sorts like them."""
    hour: str
    """The whole number of the hour of a {bucket}."""
    micros: str
    """The whole number of microseconds of a {time}."""


@dataclass(frozen=True)
class Dialect:
    """One engine's SQL."""

    integer: str
    double: str
    text: str
    times: Mapping[TimeKind, TimeForm]
    quote: str = '"'
    """Around identifiers; doubled inside."""
    escapes: Mapping[str, str] = field(default_factory=lambda: {"'": "''"})
    """How characters are written inside a string."""
    unwritable: str = "\0"
    """Characters that no string literal can hold."""
    unquotable: str = "\0"
    """Characters that no quoted identifier can hold."""
    uuid: str = "{}"
    """A UUID out of a string literal."""
    declared: Mapping[Cell, str] | None = None
    """Types of the columns of inline rows, where a rowset declares them; its literals are then plain."""
    rows: str = "(VALUES {rows}) AS {name} ({columns})"
    row: str = "({})"
    between_rows: str = ",\n        "
    name_values: bool = False
    """Whether a row names its values, where the rowset cannot name its columns."""
    exact: str | None = None
    """A type whose sums are the same in whatever order they are added; default: the double."""
    bound: str | None = None
    """A number as a literal that a column of any numeric type can be compared with; default: a double."""
    trimmed: str = "TRIM(translate({text}, {white_space}, {spaces}))"
    """A text without the white space at its ends; {spaces} are as many as {white_space} has characters."""
    greatest: str = "GREATEST"
    """The function of several arguments that gives the largest."""
    user_key: str = "{}"
    """A column of text, ready to be grouped and sorted."""
    fence: str = ""
    """Keeps the planner from computing an expression again wherever its column is used."""
    longest_query: int | None = None
    """Characters that the engine takes."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Patterns of the engine's own names of types, looked at before those that most engines have."""
    wrapped: str | None = None
    """A pattern of types that say nothing about the one inside, its group."""
    counts_naive_times: bool = False
    """Whether it counts a time without a zone from 1970 in UTC, and so calls its column an instant."""

    def kind_of(self, type_name: str) -> Kind:
        """The kind of a type as the engine describes it."""
        plain = type_name.strip().lower()
        while self.wrapped and (found := re.fullmatch(self.wrapped, plain)):
            plain = found[1]
        for patterns in (self.kinds, USUAL_KINDS):
            for pattern, kind in patterns.items():
                if re.fullmatch(pattern, plain):
                    return kind
        return Kind.OTHER

    @property
    def exact_type(self) -> str:
        """The type that numbers of metrics are added up in."""
        return self.exact or self.double

    @property
    def largest(self) -> str:
        """The literal of LARGEST: NaN and infinity are beyond it too."""
        return self._bound(LARGEST)

    @property
    def smallest(self) -> str:
        """The literal of SMALLEST."""
        return self._bound(SMALLEST)

    def _bound(self, number: str) -> str:
        return (self.bound or f"CAST('{{}}' AS {self.double})").format(number)

    def identifier(self, *parts: str) -> str:
        """A quoted name.

        Raises:
            InputError: a part holds a character that the engine allows in no name.
        """
        for part in parts:
            if bad := [character for character in part if character in self.unquotable]:
                raise InputError(f"the name {part!r} holds {bad[0]!r}, which no name of this engine can")
        return ".".join(f"{self.quote}{part.replace(self.quote, self.quote * 2)}{self.quote}" for part in parts)

    def string(self, value: str) -> str:
        """A string literal.

        Raises:
            InputError: it holds a character that the engine cannot be given.
        """
        if bad := [character for character in value if character in self.unwritable]:
            raise InputError(f"{value!r} holds {bad[0]!r}, which cannot be sent to this engine")
        return "'" + "".join(self.escapes.get(character, character) for character in value) + "'"

    def not_blank(self, text: str) -> str:
        """Whether a column of text holds more than white space; NULL does not."""
        spaces = self.string(" " * len(WHITE_SPACE))
        return self.trimmed.format(text=text, white_space=self.string(WHITE_SPACE), spaces=spaces) + " <> ''"

    def time(self, at: datetime, kind: TimeKind) -> str:
        """A literal to compare a column of times with; of a column of whole units, the first one not before `at`."""
        micros = (at - EPOCH) // MICROSECOND
        if kind in UNIT_MICROS:
            return str(-(-micros // UNIT_MICROS[kind]))
        return self.times[kind].literal.format(text=_text(at), micros=micros)

    def form(self, kind: TimeKind) -> TimeForm:
        """The expressions on a column of this kind.

        Raises:
            InputError: the engine has no such type.
        """
        if kind in UNIT_MICROS:
            unit = UNIT_MICROS[kind]
            hour = f"CAST(FLOOR(CAST({{time}} AS {self.double}) / {3_600_000_000 // unit}) AS {self.integer})"
            return TimeForm("", hour, "{bucket}", f"CAST({{time}} AS {self.integer}) * {unit}")
        if kind not in self.times:
            raise InputError(f"time={kind.value!r} is no type of this engine: use {', '.join(map(repr, self.times))}")
        return self.times[kind]

    def cell(self, value: object, cell: Cell, kind: TimeKind) -> str:
        """A value of an inline row; a time is for comparison with a column of `kind`."""
        if isinstance(value, datetime):
            literal = self.time(value, kind)
            return literal if kind in UNIT_MICROS or self.declared is None else self.string(_text(value))
        if cell is Cell.WHOLE:
            return str(value)
        literal = self.string(str(value))
        return self.uuid.format(literal) if cell is Cell.UUID and self.declared is None else literal

    def inline(self, name: str, columns: Mapping[str, Cell], rows: Sequence[Sequence[object]], kind: TimeKind) -> str:
        """Rows of values as a rowset."""
        cells = list(columns.values())
        written = [[self.cell(value, cell, kind) for value, cell in zip(row, cells, strict=True)] for row in rows]
        if self.name_values:
            written = [[f"{value} AS {column}" for value, column in zip(row, columns, strict=True)] for row in written]
        return self.rows.format(
            rows=self.between_rows.join(self.row.format(", ".join(row)) for row in written),
            name=name,
            columns=", ".join(columns),
            structure=self.string(self._structure(columns, kind)),
        )

    def _structure(self, columns: Mapping[str, Cell], kind: TimeKind) -> str:
        declared = self.declared or {}
        whole = {Cell.TIME: Cell.WHOLE} if kind in UNIT_MICROS else {}
        return ", ".join(f"{column} {declared.get(whole.get(cell, cell), '')}" for column, cell in columns.items())


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = datetime.resolution
UNIT_MICROS = {
    TimeKind.EPOCH_SECONDS: 1_000_000,
    TimeKind.EPOCH_MILLISECONDS: 1_000,
    TimeKind.EPOCH_MICROSECONDS: 1,
}
BACKSLASH_ESCAPES = {"\\": "\\\\", "'": "\\'"}
MILLION_CHARACTERS = 1_000_000
