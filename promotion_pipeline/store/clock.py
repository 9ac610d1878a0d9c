"""The one clock: the database's, so that every process agrees on which hour is complete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg

from promotion_pipeline.errors import InputError

FIRST_YEAR, LAST_YEAR = 1970, 8999
"""Of an instant that somebody asks about."""


def database_now(connection: psycopg.Connection[Any]) -> datetime:
    """The database's time at this statement, UTC."""
    return _one(connection, "SELECT clock_timestamp() AS at")


def newest_complete_hour(connection: psycopg.Connection[Any]) -> datetime:
    """The END of the newest complete hour, UTC: the as-of that may be acted upon."""
    return _one(connection, "SELECT date_trunc('hour', clock_timestamp(), 'UTC') AS at")


def _one(connection: psycopg.Connection[Any], query: LiteralString) -> datetime:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    assert row is not None
    at = row[0]
    assert isinstance(at, datetime)
    return at


def parse_instant(text: str, name: str) -> datetime:
    """An ISO 8601 instant with its time zone; a date alone is midnight UTC. Every door reads times with it.

    Raises:
        InputError: it is no time, or has no time zone.
    """
    given = text.strip()
    try:
        value = datetime.fromisoformat(given)
    except ValueError:
        raise InputError(f"{name} {text!r} is no time: write it as 2026-03-01T12:00Z") from None
    if value.tzinfo is None and len(given) == len("2026-03-01"):
        return value.replace(tzinfo=UTC)
    if value.tzinfo is None:
        raise InputError(f"{name} {text!r} has no time zone: add one, for example {given}Z for UTC")
    return value


def require_utc(value: datetime, name: str) -> datetime:
    """`value` unless it is naive, or so early or late that no hour can be counted from it.

    Raises:
        InputError: `value` has no time zone, or lies out of bounds.
    """
    if value.tzinfo is None or value.utcoffset() is None:
        raise InputError(f"{name} {value.isoformat()} has no time zone: add one, for example {value.isoformat()}+00:00")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise InputError(
            f"{name} {value.isoformat()} cannot be used: give a time between the years {FIRST_YEAR} and {LAST_YEAR}"
        )
    return value
