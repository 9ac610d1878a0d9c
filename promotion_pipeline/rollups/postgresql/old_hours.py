"""Rows that came after the hourly run had read their hour for the last time."""

from __future__ import annotations

from datetime import datetime, timedelta

from promotion_pipeline.rollups.conservation import HourCount
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR, require_hours

DAYS = 7


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


def unbalanced_old_hours(store: Store, hours: list[datetime]) -> list[HourCount]:
    """Those of `hours` that were rolled up and whose sums are not those of their requests, in order.

    Hours whose requests were dropped are left out. O(requests of these hours).

    Raises:
        DependencyError: the database cannot be reached.
    """
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
