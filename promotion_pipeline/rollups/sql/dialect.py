"""What differs between the engines: quoting, literals, types, and the hour of a time.

An hour is the whole number of hours since 1970, and every instant is written with its offset: no expression here
depends on a session's time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.configuration import Engine, TimeKind
from promotion_pipeline.store.usable import LARGEST, SMALLEST

WHITE_SPACE = "\t\n\v\f\r"
"""Besides the space."""


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
    bound: str | None = None
    """A number as a literal that a column of any numeric type can be compared with; default: a double."""
    user_key: str = "{}"
    """A column of text, ready to be grouped and sorted."""
    fence: str = ""
    """Keeps the planner from computing an expression again wherever its column is used."""
    longest_query: int | None = None
    """Characters that the engine takes."""

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
        return f"TRIM(translate({text}, {self.string(WHITE_SPACE)}, '{' ' * len(WHITE_SPACE)}')) <> ''"

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
BACKSLASH = {"\\": "\\\\", "'": "\\'"}
MILLION_CHARACTERS = 1_000_000

_POSTGRESQL_HOUR = "CAST(EXTRACT(EPOCH FROM {bucket}) AS bigint) / 3600"
_POSTGRESQL_MICROS = "CAST(EXTRACT(EPOCH FROM {time}) * 1000000 AS bigint)"
_SNOWFLAKE = TimeForm(
    "'{text} +00:00'::TIMESTAMP_TZ",
    "CAST(FLOOR(DATE_PART(EPOCH_SECOND, {time}) / 3600) AS BIGINT)",
    "{bucket}",
    "CAST(DATE_PART(EPOCH_MICROSECOND, {time}) AS BIGINT)",
)
_REDSHIFT = TimeForm(
    "TIMESTAMPTZ '{text}+00'",
    "CAST(FLOOR(EXTRACT(EPOCH FROM {time}) / 3600.0) AS BIGINT)",
    "{bucket}",
    "CAST(FLOOR(EXTRACT(EPOCH FROM {time})) AS BIGINT) * 1000000",
)
# ClickHouse counts from 1970 in UTC whatever the column's zone; a time without one in a file is counted so too.
_CLICKHOUSE = TimeForm(
    "toDateTime64('{text}', 6, 'UTC')",
    "toInt64(intDiv(toUnixTimestamp({time}), 3600))",
    "{bucket}",
    "toUnixTimestamp64Micro(toDateTime64({time}, 6, 'UTC'))",
)
# Days and hours of the interval to 1970: timestampdiff would go through the session's time zone.
_SPARK_SINCE = "({time} - TIMESTAMP_NTZ '1970-01-01 00:00:00')"

DIALECTS: Mapping[Engine, Dialect] = {
    Engine.POSTGRESQL: Dialect(
        integer="bigint",
        double="double precision",
        text="text",
        times={
            # date_bin is many times faster than extract, which makes a numeric of every row.
            TimeKind.INSTANT: TimeForm(
                "TIMESTAMPTZ '{text}+00'",
                "date_bin('1 hour', {time}, TIMESTAMPTZ '2000-01-01 00:00:00+00')",
                _POSTGRESQL_HOUR,
                _POSTGRESQL_MICROS,
            ),
            TimeKind.UTC: TimeForm(
                "TIMESTAMP '{text}'",
                "date_bin('1 hour', {time}, TIMESTAMP '2000-01-01 00:00:00')",
                _POSTGRESQL_HOUR,
                _POSTGRESQL_MICROS,
            ),
        },
        uuid="UUID {}",
        # A numeric may be larger than any double: it is compared before it is cast.
        bound="{}",
        user_key='{} COLLATE "C"',
        fence="\n    OFFSET 0",
    ),
    Engine.DUCKDB: Dialect(
        integer="BIGINT",
        double="DOUBLE",
        text="VARCHAR",
        times={
            TimeKind.INSTANT: TimeForm(
                "TIMESTAMPTZ '{text}+00'", "epoch_us({time}) // 3600000000", "{bucket}", "epoch_us({time})"
            ),
            TimeKind.UTC: TimeForm(
                "TIMESTAMP '{text}'",
                "epoch_us(CAST({time} AS TIMESTAMP)) // 3600000000",
                "{bucket}",
                "epoch_us(CAST({time} AS TIMESTAMP))",
            ),
        },
        uuid="UUID {}",
    ),
    Engine.SPARK: Dialect(
        integer="BIGINT",
        double="DOUBLE",
        text="STRING",
        times={
            TimeKind.INSTANT: TimeForm(
                "timestamp_micros({micros})", "unix_micros({time}) div 3600000000", "{bucket}", "unix_micros({time})"
            ),
            TimeKind.UTC: TimeForm(
                "TIMESTAMP_NTZ '{text}'",
                f"CAST(EXTRACT(DAY FROM {_SPARK_SINCE}) AS BIGINT) * 24 + EXTRACT(HOUR FROM {_SPARK_SINCE})",
                "{bucket}",
                f"(CAST(EXTRACT(DAY FROM {_SPARK_SINCE}) AS BIGINT) * 1440 + EXTRACT(HOUR FROM {_SPARK_SINCE}) * 60"
                f" + EXTRACT(MINUTE FROM {_SPARK_SINCE})) * 60000000"
                f" + CAST(EXTRACT(SECOND FROM {_SPARK_SINCE}) * 1000000 AS BIGINT)",
            ),
        },
        quote="`",
        escapes=BACKSLASH,
    ),
    Engine.CLICKHOUSE: Dialect(
        integer="Int64",
        double="Nullable(Float64)",
        text="Nullable(String)",
        times={
            TimeKind.INSTANT: _CLICKHOUSE,
            TimeKind.UTC: _CLICKHOUSE,
        },
        quote="`",
        escapes=BACKSLASH,
        unquotable="\0\\",
        rows="values({structure},\n        {rows}) AS {name}",
        # Nullable, so that a request without an arm has none instead of arm 0.
        declared={
            Cell.WHOLE: "Nullable(Int64)",
            Cell.TEXT: "String",
            Cell.UUID: "UUID",
            Cell.TIME: "DateTime64(6, 'UTC')",
        },
    ),
    Engine.BIGQUERY: Dialect(
        integer="INT64",
        double="FLOAT64",
        text="STRING",
        times={
            TimeKind.INSTANT: TimeForm(
                "TIMESTAMP '{text}+00'", "DIV(UNIX_SECONDS({time}), 3600)", "{bucket}", "UNIX_MICROS({time})"
            ),
            TimeKind.UTC: TimeForm(
                "DATETIME '{text}'",
                "DIV(UNIX_SECONDS(TIMESTAMP({time}, 'UTC')), 3600)",
                "{bucket}",
                "UNIX_MICROS(TIMESTAMP({time}, 'UTC'))",
            ),
        },
        quote="`",
        escapes=BACKSLASH | {"\n": "\\n", "\r": "\\r"},
        unquotable="\0`\\",
        rows="UNNEST([{rows}]) AS {name}",
        row="STRUCT({})",
        name_values=True,
        longest_query=MILLION_CHARACTERS,
    ),
    Engine.SNOWFLAKE: Dialect(
        integer="BIGINT",
        double="DOUBLE",
        text="VARCHAR",
        times={
            TimeKind.INSTANT: _SNOWFLAKE,
            TimeKind.UTC: TimeForm("'{text}'::TIMESTAMP_NTZ", _SNOWFLAKE.bucket, _SNOWFLAKE.hour, _SNOWFLAKE.micros),
        },
        escapes=BACKSLASH,
        longest_query=MILLION_CHARACTERS,
    ),
    Engine.TRINO: Dialect(
        integer="BIGINT",
        double="DOUBLE",
        text="VARCHAR",
        times={
            TimeKind.INSTANT: TimeForm(
                "TIMESTAMP '{text} UTC'",
                "CAST(FLOOR(to_unixtime({time}) / 3600) AS BIGINT)",
                "{bucket}",
                "CAST(ROUND(to_unixtime({time}) * 1000000) AS BIGINT)",
            ),
            TimeKind.UTC: TimeForm(
                "TIMESTAMP '{text}'",
                "CAST(FLOOR(to_unixtime(with_timezone({time}, 'UTC')) / 3600) AS BIGINT)",
                "{bucket}",
                "CAST(ROUND(to_unixtime(with_timezone({time}, 'UTC')) * 1000000) AS BIGINT)",
            ),
        },
        longest_query=MILLION_CHARACTERS,
    ),
    Engine.REDSHIFT: Dialect(
        integer="BIGINT",
        double="DOUBLE PRECISION",
        text="VARCHAR",
        times={
            TimeKind.INSTANT: _REDSHIFT,
            TimeKind.UTC: TimeForm("TIMESTAMP '{text}'", _REDSHIFT.bucket, _REDSHIFT.hour, _REDSHIFT.micros),
        },
        # Whether a backslash escapes depends on the cluster's settings.
        unwritable="\0\\",
        # Redshift has no VALUES outside of INSERT.
        rows="({rows}) AS {name}",
        row="SELECT {}",
        name_values=True,
        between_rows="\n        UNION ALL ",
        longest_query=16 * MILLION_CHARACTERS,
    ),
}
