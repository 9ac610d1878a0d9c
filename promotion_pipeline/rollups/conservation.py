"""Conservation: do the rollups of an hour add up to the requests that the log has of it. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.bulk import read_frame, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

DAYS = 7
"""Days whose same hours, beyond the look-back, one run compares."""


@dataclass(frozen=True)
class HourCount:
    """One hour whose rollups do not add up to its requests."""

    hour: datetime
    source_requests: int
    """Rows in the log now."""
    counted_requests: int
    """Rows that the hour had when it was rolled up."""
    assigned_requests: int
    """Sum over its rollups, and its requests of no known variant or phase."""


def unbalanced_hours(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    """The hours in [start, end) that were rolled up and whose sums are not those of their requests.

    Hours whose requests were dropped are left out.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database or the engine of the log cannot be reached.
    """
    require_hours(start, end)
    return _in_table(store, start, end) if load_source(store.settings) is None else _elsewhere(store, start, end)


def unbalanced_old_hours(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    """The hours beyond the look-back of the run of [start, end) whose sums are not those of their requests.

    Of seven days in the product's own table; of a log elsewhere, where each hour is a query, the hour just beyond.

    Raises as `unbalanced_hours`.
    """
    hours = old_hours(store.settings.lookback_hours, start, end)
    if load_source(store.settings) is None:
        return _of_hours_in_table(store, hours)
    return unbalanced_hours(store, hours[-1], hours[-1] + HOUR)


def unbalanced_experiments(store: Store, hours: Sequence[datetime]) -> dict[str, int]:
    """Whose requests of these hours are not in the sums: by name how many more there are than summed up, most first.

    Empty for a log elsewhere, where each hour is a query. Requests of no known variant are in no sum and counted here.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if load_source(store.settings) is not None:
        return {}
    rows = store.rows(_SQL["unbalanced_experiments"], {"hours": list(hours)})
    return {row["name"]: row["missing"] for row in rows}


def old_hours(lookback_hours: int, start: datetime, end: datetime) -> list[datetime]:
    """The hours beyond the look-back that the run of [start, end) compares with their requests.

    The same hours of the day on each of seven days: in a day of runs every hour of a week comes up, and no run counts
    more than a few hours of requests.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
    """
    require_hours(start, end)
    length = min(int((end - start) / HOUR), 24)
    last = end - HOUR - timedelta(hours=lookback_hours)
    return sorted(last - timedelta(days=day) - number * HOUR for day in range(1, DAYS + 1) for number in range(length))


def hour_counts(store: Store, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """A row an hour of [start, end): `hour`, `requests` of the source, `unassigned` of them, `rows` of the rollups."""
    require_hours(start, end)
    return store.rows(
        _SQL["hour_counts"],
        {"start": start, "end": end},
    )


def _in_table(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    """One statement, and so one snapshot: a request that comes meanwhile is in both numbers or in none."""
    rows = store.rows(
        _SQL["unbalanced_in_table"],
        {"start": start, "end": end},
    )
    return [HourCount(**row) for row in rows]


def _of_hours_in_table(store: Store, hours: list[datetime]) -> list[HourCount]:
    """The same of single hours; O(requests of these hours)."""
    with store.connect() as connection:
        rows = connection.execute(
            _SQL["unbalanced_of_hours"],
            (hours,),
        ).fetchall()
    return [HourCount(**row) for row in rows]


def _elsewhere(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    with open_log(store) as log:
        counted = log.requests_by_hour(start, end)
    stored = read_frame(
        store, _SQL["stored_counts"].format(start=time_literal(start), end=time_literal(end))
    ).set_index("hour")
    stored["source"] = counted.reindex(stored.index, fill_value=0)
    lost = stored[(stored["source"] != stored["counted"]) | (stored["assigned"] != stored["counted"])]
    return [
        HourCount(pd.Timestamp(hour).to_pydatetime(), int(source_requests), int(counted_requests), int(assigned))
        for hour, source_requests, counted_requests, assigned in zip(
            lost.index, lost["source"], lost["counted"], lost["assigned"], strict=True
        )
    ]
