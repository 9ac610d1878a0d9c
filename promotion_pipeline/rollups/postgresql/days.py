"""`ai_requests` by the day: partitions ahead of the requests, and old days dropped at once.

A plain table that a team brought keeps working; there is then nothing to make, and nothing is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

DAYS_AHEAD = 7
LOCK_WAIT = "3s"
"""Making a day waits for writers of the default partition, and writers would wait behind it: better again later."""


@dataclass(frozen=True)
class DroppedDays:
    """What `drop_old_days` did."""

    days: tuple[date, ...]
    """Days whose requests are gone, oldest first."""
    kept: tuple[date, ...]
    """Days as old, kept because some of their hours were never rolled up."""


def ensure_days(store: Store, first: date, last: date) -> int:
    """Make the partitions of the days from `first` to `last`, both included; returns how many were missing.

    Requests of these days that were written before go into them. Cheap where nothing is missing. Where writers keep the
    table busy it gives up after three seconds and makes none: requests land in the default partition meanwhile.

    Raises:
        InputError: `last` is before `first`.
        DependencyError: the database cannot be reached.
    """
    if last < first:
        raise InputError(f"the days from {first} to {last} are none: last must not be before first")
    with store.connect() as connection:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
                row = connection.execute("SELECT ensure_request_days(%s, %s) AS made", [first, last]).fetchone()
        except psycopg.errors.LockNotAvailable:
            return 0
    assert row is not None
    return int(row["made"])


def ensure_days_ahead(store: Store) -> int:
    """Make the partitions of today and the next week by the database's clock; as `ensure_days`."""
    with store.connect() as connection:
        today = database_now(connection).astimezone(UTC).date()
    return ensure_days(store, today, today + timedelta(days=DAYS_AHEAD))


def drop_old_days(store: Store, keep_days: int, *, dry_run: bool = False) -> DroppedDays:
    """Drop the requests of the days that ended more than `keep_days` ago; their rollups and decisions stay.

    A day with requests that were never rolled up is kept. Sums of dropped days are final: no rollup compares them with
    requests again.

    Args:
        keep_days: must reach back beyond the look-back of the hourly run.
        dry_run: say what would be dropped.

    Raises:
        InputError: `keep_days` is within the look-back.
        DependencyError: the database cannot be reached.
    """
    least = store.settings.least_days_kept
    if keep_days < least:
        raise InputError(
            f"keep_days={keep_days} is within the look-back of {store.settings.lookback_hours} hours: late rows of that"
            f" time are still read; keep at least {least} days"
        )
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        oldest = database_now(connection).astimezone(UTC).date() - timedelta(days=keep_days)
        old = connection.execute(_SQL["old_days"], [oldest]).fetchall()
        unread = {row["day"] for row in old if _has_unread_hours(connection, row["day"])}
        # Only one instant is kept, before which requests are gone: so no day after the first kept one may go.
        first_kept = min(unread, default=oldest)
        gone = [row for row in old if row["day"] < first_kept]
        if gone and not dry_run:
            _drop(connection, [row["day"] for row in gone], gone[-1]["day"] + timedelta(days=1))
    return DroppedDays(tuple(row["day"] for row in gone), tuple(row["day"] for row in old if row not in gone))


def _has_unread_hours(connection: Connection, day: date) -> bool:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    row = connection.execute(_SQL["has_unread_hours"], {"start": start, "end": start + timedelta(days=1)}).fetchone()
    assert row is not None
    return bool(row["found"])


def _drop(connection: Connection, days: list[date], before: date) -> None:
    connection.execute(
        """
        INSERT INTO dropped_requests (before) VALUES (%s)
        ON CONFLICT (one_row) DO UPDATE SET before = greatest(dropped_requests.before, excluded.before)
        """,
        [datetime(before.year, before.month, before.day, tzinfo=UTC)],
    )
    connection.execute("SELECT drop_request_days(%s)", [days])
