"""Windows of hours: what one must be, and its rows replaced at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.store.bulk import identifiers, time_literal
from promotion_pipeline.store.clock import require_utc

HOUR = timedelta(hours=1)


def require_hours(start: datetime | None, end: datetime) -> None:
    """Refuse a window that is naive, empty, or does not begin and end with an hour.

    Raises:
        InputError: as said.
    """
    for name, at in (("start", start), ("end", end)):
        if at is not None and require_utc(at, name).astimezone(UTC).timestamp() % HOUR.total_seconds():
            raise InputError(f"{name} {at.isoformat()} is not the start of an hour (UTC)")
    if start is not None and start >= end:
        raise InputError(f"the window from {start.isoformat()} to {end.isoformat()} is empty: start must be before end")


def swap_window(
    connection: psycopg.Connection[Any],
    table: str,
    names: Sequence[str],
    start: datetime,
    end: datetime,
    condition: sql.Composable,
) -> int:
    """Replace the rows of [start, end) that meet `condition` by those of the table `incoming`; returns the rows."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE hour >= {} AND hour < {} AND {}").format(
            sql.Identifier(table), time_literal(start), time_literal(end), condition
        )
    )
    return connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM incoming WHERE {}").format(
            sql.Identifier(table), identifiers(names), identifiers(names), condition
        )
    ).rowcount


def require_window(start: datetime | None, end: datetime) -> None:
    """Refuse a naive time.

    Raises:
        InputError: `start` or `end` has no time zone, or lies out of bounds.
    """
    for name, at in (("start", start), ("end", end)):
        if at is not None:
            require_utc(at, name)


def require_rows_in_window(frame: pd.DataFrame, start: datetime, end: datetime) -> None:
    """Refuse a frame with an hour outside [start, end).

    Raises:
        InputError: as said, or the window is not of whole hours, or `hour` is missing or has no time zone.
    """
    require_hours(start, end)
    if "hour" not in frame.columns:
        raise InputError(f"the frame lacks the column 'hour'; it has {list(frame.columns)}")
    if len(frame) == 0:
        return
    if not isinstance(frame["hour"].dtype, pd.DatetimeTZDtype):
        raise InputError(f"column hour is {frame['hour'].dtype}: it must be times with a time zone")
    first, last = frame["hour"].min(), frame["hour"].max()
    if first < pd.Timestamp(start) or last >= pd.Timestamp(end):
        raise InputError(
            f"rows from {first} to {last} lie outside the window from {start.isoformat()} to {end.isoformat()}"
        )
