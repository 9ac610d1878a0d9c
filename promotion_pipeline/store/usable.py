"""What of an application's rows can be used: numbers, dates and JSON that every part of the product can count with.

What cannot is left out where it stands, so that it stops nobody else, and counted, so that people are told.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import pq, sql
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads

LARGEST, SMALLEST = "1e100", "1e-100"
"""A number beyond LARGEST is no measurement and its square may overflow; one below SMALLEST, whose square may
underflow, counts as 0."""
FIRST_START, LAST_START = "2000-01-01", "9000-01-01"
"""Bounds of a `start_date`, as in the database's `usable_start`."""
_EARLIEST, _LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_SHOWN = 100


class UnreadableJson:
    """JSON that PostgreSQL keeps and Python cannot read: a number too long, or nested too deeply."""

    def __init__(self, text: str, why: str) -> None:
        self.start, self.why = text[:_SHOWN], why

    def __repr__(self) -> str:
        return f"{self.start}... (cannot be read: {self.why})"


Json: TypeAlias = Any
"""What JSON holds, or an UnreadableJson."""


def read_json(text: str | bytes) -> Json:
    """The value of JSON; an UnreadableJson where Python cannot hold it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        why = "nested too deeply" if isinstance(error, RecursionError) else "a number in it is too long"
        return UnreadableJson(shown, why)


def accept_everything(connection: psycopg.Connection[Any]) -> None:
    """Make a connection read what an application may have written, instead of failing on a whole result for one row.

    Times that Python has no form for, such as infinity, come as the nearest that it can count with.
    """
    connection.adapters.register_loader("timestamptz", _ClampedTimestamptz)
    set_json_loads(read_json, connection)


_PLAIN_TIMESTAMPTZ = psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, pq.Format.TEXT)


class _ClampedTimestamptz(Loader):
    """psycopg's own loader, whose class cannot be derived from."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        assert _PLAIN_TIMESTAMPTZ is not None
        self._plain = _PLAIN_TIMESTAMPTZ(oid, context)

    def load(self, data: Buffer) -> datetime:
        """The time, within what can be counted with."""
        try:
            value: datetime = self._plain.load(data)
        except psycopg.DataError:
            text = bytes(data)
            return _EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else _LATEST
        return value if _EARLIEST.year <= value.year < _LATEST.year else min(max(value, _EARLIEST), _LATEST)


def start_error(start_date: str) -> str:
    """What is wrong with a `start_date` that lies out of bounds, given as PostgreSQL writes it."""
    bounds = f"between {FIRST_START} and {LAST_START}"
    return f"start_date {start_date[:40]} is not {bounds}: set it to when the experiment began"


def latency(column: sql.Composable) -> sql.Composed:
    """SQL of a latency as float8; null where it is none. Compared before it is cast: a numeric may be out of range."""
    return sql.SQL("CASE WHEN {0} > {1} AND {0} < {2} THEN {0}::float8 WHEN {0} >= 0 AND {0} <= {1} THEN 0 END").format(
        column, sql.SQL(SMALLEST), sql.SQL(LARGEST)
    )


def amount(column: sql.Composable, kind: str = "float8") -> sql.Composed:
    """SQL of a value as float8 or numeric; null where it is none. NaN is above everything for PostgreSQL."""
    return sql.SQL(
        "CASE WHEN {0} > {1} AND {0} < {2} OR {0} < -{1} AND {0} > -{2} THEN {0}::{3}"
        " WHEN {0} >= -{1} AND {0} <= {1} THEN 0 END"
    ).format(column, sql.SQL(SMALLEST), sql.SQL(LARGEST), sql.SQL(kind))
