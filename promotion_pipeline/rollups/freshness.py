"""How old the newest request of every running experiment is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import require_hours


@dataclass(frozen=True)
class Freshness:
    """How old one experiment's newest request was at an instant."""

    name: str
    newest_request_at: datetime | None
    staleness_hours: float
    """Since the newest request, or since the phase's start where there is none."""


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
