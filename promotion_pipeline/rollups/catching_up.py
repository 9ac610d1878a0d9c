"""The stored rollups brought up to date: a window of hours, what was never read, and what came in later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.coverage import RUNNING, uncovered
from promotion_pipeline.rollups.log import TABLE, RequestLog, RollupResult, added_up
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.rollups.postgresql.arms import hour_of
from promotion_pipeline.store.bulk import time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

MOST_COMPARED = 1_000_000
"""Requests of a log that one hourly run counts again; of a longer one, another part every hour."""


def roll_up(store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> RollupResult:
    """Bring the rollups of [start, end) in line with the requests, and mark its hours as rolled up.

    Args:
        experiment_ids: only the rollups of these; no hour is marked then.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
            UUID.
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database or the engine of the log cannot be reached.
    """
    with open_log(store) as log:
        return log.roll_up(start, end, experiment_ids)


def roll_up_missing(store: Store, end: datetime) -> RollupResult:
    """Roll up what of the running phases' requests before `end` is in no rollup, back to the phases' start.

    First the hours that were never read for anyone, in one window; then, experiment by experiment, what an hour was
    read without: an experiment that arrived with its history. Where nothing is missing it costs two short queries.

    Raises as `roll_up`.
    """
    window = missing_window(store, end)
    parts = [] if window is None else [roll_up(store, *window)]
    is_elsewhere = load_source(store.settings) is not None
    for missing in uncovered(store, end, RUNNING, is_elsewhere=is_elsewhere):
        parts.append(roll_up(store, missing.start, missing.end, missing.experiment_ids))
    return added_up(parts)


def missing_window(store: Store, end: datetime) -> tuple[datetime, datetime] | None:
    """From the first to the last hour before `end` that was never rolled up, since the oldest phase that is running.

    Raises:
        InputError: `end` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, end)
    with store.connect() as connection:
        row = connection.execute(
            _SQL["missing_window"].format(
                start=hour_of(sql.SQL("min(phase.started_at)")), end=time_literal(end), running=RUNNING
            )
        ).fetchone()
    return None if row is None or row["first"] is None else (row["first"], row["after_last"])


def catch_up(store: Store, end: datetime) -> RollupResult:
    """Roll up what of the running phases is in no rollup before `end`, and what came into hours that were read before.

    Three questions, each answered by little where nothing is missing: hours that were never read for anyone; phases
    that were read without their past, because they arrived with it; and hours that have more requests in the log now
    than when they were read. Hours that have fewer stay as they are: what vanishes is not zero.

    Raises:
        InputError: `end` is naive, not a whole hour, or after the newest complete hour.
        ConfigError: a column of the log is missing.
        DependencyError: the database or the log cannot be reached.
    """
    parts = [roll_up_missing(store, end)]
    with open_log(store) as log:
        grown = grown_hours(store, log, end)
        parts += [log.roll_up(start, until) for start, until in grown.spans]
    with store.connect() as connection:
        connection.execute(_SQL["note_compared_days"], {"days": list(grown.days), "changes": list(grown.days.values())})
    return added_up(parts)


_READ_HOURS = _SQL["read_hours"].format(RUNNING)


@dataclass(frozen=True)
class Grown:
    """What a comparison of hours with the log found."""

    spans: tuple[tuple[datetime, datetime], ...]
    """Hours that have more requests now than when they were read, as [start, end) without gaps."""
    days: dict[date, int]
    """Days that were compared as a whole, with PostgreSQL's count of their changes from before that."""


def grown_hours(store: Store, log: RequestLog, end: datetime) -> Grown:
    """Compare the hours of running phases before `end` with the log.

    Days of `ai_requests` without a change since they were last compared are left out. Of the others at most
    MOST_COMPARED requests are counted, or an hour: of more another part each hour.

    Raises:
        DependencyError: the database or the log cannot be reached.
    """
    with store.connect() as connection:
        known = {} if log.name != TABLE else {row["day"]: row for row in connection.execute(_SQL["changed_days"])}
        rows = connection.execute(_READ_HOURS, {"end": end}).fetchall()
    open_rows = [row for row in rows if not (day := known.get(_day(row["hour"]))) or not day["is_settled"]]
    compared = _hours_of_this_run(open_rows, end)
    seen = {row["hour"] for row in compared}
    partly = {_day(row["hour"]) for row in open_rows if row["hour"] not in seen}
    spans: list[tuple[datetime, datetime]] = []
    for first, last in _runs([row["hour"] for row in compared]):
        counted = log.requests_by_hour(first, last)
        more = [
            row["hour"]
            for row in compared
            if first <= row["hour"] < last and counted.get(pd.Timestamp(row["hour"]), 0) > row["requests"]
        ]
        spans += _runs(more)
    whole = {_day(hour) for hour in seen} - partly
    return Grown(tuple(spans), {day: known[day]["changes"] for day in sorted(whole) if day in known})


def _day(hour: datetime) -> date:
    return hour.astimezone(UTC).date()


def _runs(hours: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Hours in order as [start, end) without gaps."""
    spans: list[tuple[datetime, datetime]] = []
    for hour in hours:
        start = spans.pop()[0] if spans and spans[-1][1] == hour else hour
        spans.append((start, hour + HOUR))
    return spans


def _hours_of_this_run(rows: Sequence[Mapping[str, Any]], end: datetime) -> Sequence[Mapping[str, Any]]:
    """The hours to count in this run: all, or a part that is another in the next hour."""
    total = sum(int(row["requests"]) for row in rows)
    parts = min(-(-total // MOST_COMPARED), len(rows)) or 1
    number = int(end.timestamp()) // 3600 % parts
    return rows[len(rows) * number // parts : len(rows) * (number + 1) // parts]
