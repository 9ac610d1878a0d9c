"""Conservation: do the rollups of an hour add up to the requests that the log has of it. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.bulk import read_frame, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR, require_hours

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
        """
        SELECT passed.hour, coalesce(rolled.requests, 0) AS requests,
            coalesce(rolled.unassigned_requests, 0) AS unassigned, coalesce(stored.rows, 0) AS rows
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS passed(hour)
        LEFT JOIN rollup_hours AS rolled ON rolled.hour = passed.hour
        LEFT JOIN (
            SELECT hour, count(*) AS rows FROM hourly_variant_rollups
            WHERE hour >= %(start)s AND hour < %(end)s GROUP BY 1
        ) AS stored ON stored.hour = passed.hour
        ORDER BY 1
        """,
        {"start": start, "end": end},
    )


def _in_table(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    """One statement, and so one snapshot: a request that comes meanwhile is in both numbers or in none."""
    rows = store.rows(
        """
        WITH source AS (
            SELECT date_bin('1 hour', created_at, '2000-01-01 00:00:00+00') AS hour, count(*) AS requests
            FROM promotion_pipeline_requests WHERE created_at >= %(start)s AND created_at < %(end)s GROUP BY 1
        ), sums AS (
            SELECT rollup.hour, sum(rollup.requests)::bigint AS requests
            FROM hourly_variant_rollups AS rollup
            JOIN ab_experiments AS experiment ON experiment.id = rollup.experiment_id
            WHERE rollup.hour >= %(start)s AND rollup.hour < %(end)s AND experiment.rollup_source = 'requests'
            GROUP BY 1
        )
        SELECT rolled.hour, coalesce(source.requests, 0) AS source_requests, rolled.requests AS counted_requests,
            coalesce(sums.requests, 0) + rolled.unassigned_requests AS assigned_requests
        FROM rollup_hours AS rolled LEFT JOIN source USING (hour) LEFT JOIN sums USING (hour)
        WHERE rolled.hour >= %(start)s AND rolled.hour < %(end)s
            AND rolled.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
            AND (coalesce(source.requests, 0) <> rolled.requests
                OR coalesce(sums.requests, 0) + rolled.unassigned_requests <> rolled.requests)
        ORDER BY 1
        """,
        {"start": start, "end": end},
    )
    return [HourCount(**row) for row in rows]


def _of_hours_in_table(store: Store, hours: list[datetime]) -> list[HourCount]:
    """The same of single hours; O(requests of these hours)."""
    with store.connect() as connection:
        rows = connection.execute(
            """
            SELECT rolled.hour, source.requests AS source_requests, rolled.requests AS counted_requests,
                sums.requests + rolled.unassigned_requests AS assigned_requests
            FROM rollup_hours AS rolled
            CROSS JOIN LATERAL (SELECT count(*) AS requests FROM promotion_pipeline_requests
                WHERE created_at >= rolled.hour AND created_at < rolled.hour + interval '1 hour') AS source
            CROSS JOIN LATERAL (SELECT coalesce(sum(rollup.requests), 0)::bigint AS requests
                FROM hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment
                    ON experiment.id = rollup.experiment_id AND experiment.rollup_source = 'requests'
                WHERE rollup.hour = rolled.hour) AS sums
            WHERE rolled.hour = ANY(%s)
                AND rolled.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
                AND (source.requests <> rolled.requests
                    OR sums.requests + rolled.unassigned_requests <> rolled.requests)
            ORDER BY 1
            """,
            (hours,),
        ).fetchall()
    return [HourCount(**row) for row in rows]


_STORED = sql.SQL(
    """
    SELECT rolled.hour, rolled.requests AS counted,
        (rolled.unassigned_requests + coalesce(sum(rollup.requests), 0))::bigint AS assigned
    FROM rollup_hours AS rolled
    LEFT JOIN (hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment
            ON experiment.id = rollup.experiment_id AND experiment.rollup_source = 'requests')
        ON rollup.hour = rolled.hour
    WHERE rolled.hour >= {start} AND rolled.hour < {end}
    GROUP BY rolled.hour ORDER BY rolled.hour
    """
)


def _elsewhere(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    with open_log(store) as log:
        counted = log.requests_by_hour(start, end)
    stored = read_frame(store, _STORED.format(start=time_literal(start), end=time_literal(end))).set_index("hour")
    stored["source"] = counted.reindex(stored.index, fill_value=0)
    lost = stored[(stored["source"] != stored["counted"]) | (stored["assigned"] != stored["counted"])]
    return [
        HourCount(pd.Timestamp(hour).to_pydatetime(), int(source_requests), int(counted_requests), int(assigned))
        for hour, source_requests, counted_requests, assigned in zip(
            lost.index, lost["source"], lost["counted"], lost["assigned"], strict=True
        )
    ]
