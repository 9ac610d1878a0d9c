"""Questions about the rollups' health that are answered by one query each; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import require_hours


@dataclass(frozen=True)
class HourCount:
    """One hour whose rollups do not add up to its requests."""

    hour: datetime
    source_requests: int
    """Rows in `ai_requests` now."""
    counted_requests: int
    """Rows that the hour had when it was rolled up."""
    assigned_requests: int
    """Sum over its rollups, and its requests of no known variant or phase."""


@dataclass(frozen=True)
class Freshness:
    """How old one experiment's newest request was at an instant."""

    name: str
    newest_request_at: datetime | None
    staleness_hours: float
    """Since the newest request, or since the phase's start where there is none."""


def unbalanced_hours(store: Store, start: datetime, end: datetime) -> list[HourCount]:
    """The hours in [start, end) that were rolled up and whose sums are not those of their requests.

    Hours whose requests were dropped are left out.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
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


def freshness(store: Store, at: datetime) -> list[Freshness]:
    """How stale every experiment was that was running at `at`, the stalest first; imported ones are left out.

    Raises:
        InputError: `at` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, at)
    rows = store.rows(
        """
        SELECT experiment.name, newest.newest_request_at,
            extract(epoch FROM %(at)s - coalesce(newest.newest_request_at, phase.started_at))::float8 / 3600
                AS staleness_hours
        FROM ab_experiment_phases AS phase
        JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
        LEFT JOIN LATERAL (
            SELECT max(rollup.newest_request_at) AS newest_request_at
            FROM (
                SELECT hour FROM hourly_variant_rollups AS earlier
                WHERE earlier.experiment_id = phase.experiment_id AND earlier.phase_id = phase.id
                    AND earlier.hour < %(at)s AND earlier.requests > 0
                ORDER BY earlier.hour DESC LIMIT 1
            ) AS last
            JOIN hourly_variant_rollups AS rollup ON rollup.hour = last.hour AND rollup.phase_id = phase.id
        ) AS newest ON true
        WHERE phase.is_running AND phase.started_at < %(at)s AND coalesce(phase.ended_at, 'infinity') >= %(at)s
            AND experiment.rollup_source = 'requests'
        ORDER BY 3 DESC, 1
        """,
        {"at": at},
    )
    return [Freshness(**row) for row in rows]
