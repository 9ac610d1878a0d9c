"""What the evidence page draws: lift over time, and everything that happened to an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.promotion.record.events import AuditEntry
from promotion_pipeline.store.database import Store

SPARKLINE_HOURS = 24 * 14


@dataclass(frozen=True)
class LiftPoint:
    """One treatment's lift over control at one as-of; fractions, None where it could not be computed."""

    as_of: datetime
    lift: float | None
    lower: float | None
    """Of the always-valid interval."""
    upper: float | None


@dataclass(frozen=True)
class Phase:
    """A stretch in which the split did not change; `traffic` is percent by variant name."""

    started_at: datetime
    ended_at: datetime | None
    is_running: bool
    traffic: dict[str, float]


@dataclass(frozen=True)
class HoldPeriod:
    """A stretch in which automatic promotion was on hold; `valid_until` is None while it is."""

    valid_from: datetime
    valid_until: datetime | None
    reason: str


def lift_series(store: Store, experiment_id: UUID, phase_id: UUID, variant_id: UUID, points: int) -> list[LiftPoint]:
    """The lift of a treatment at each look of a phase, thinned to at most this many looks, the newest among them.

    Raises:
        DependencyError: the database is down.
    """
    query = """
        SELECT as_of, lift, always_valid_lower AS lower, always_valid_upper AS upper FROM (
            SELECT look.*, row_number() OVER (ORDER BY look.as_of DESC) - 1 AS age, count(*) OVER () AS looks
            FROM ab_experiment_phases AS phase
            CROSS JOIN LATERAL generate_series(
                date_bin('1 hour', phase.started_at, '2000-01-01 00:00:00+00'),
                coalesce(phase.ended_at, now()), '1 hour'
            ) AS passed (hour)
            -- One row by its whole key, an hour after the other: the key begins with the hour.
            CROSS JOIN LATERAL (
                SELECT * FROM significance_results AS found WHERE found.hour = passed.hour
                    AND found.experiment_id = %(experiment)s AND found.variant_id = %(variant)s
                    AND found.phase_id = phase.id LIMIT 1
            ) AS look
            WHERE phase.id = %(phase)s
        ) looks WHERE age %% greatest(1, ceil(looks::numeric / %(points)s)::bigint) = 0 ORDER BY as_of
    """
    values = {"experiment": experiment_id, "phase": phase_id, "variant": variant_id, "points": points}
    with store.connect() as connection:
        return [LiftPoint(**_finite(row)) for row in connection.execute(query, values)]


def sparklines(store: Store, experiment_ids: Sequence[UUID]) -> dict[UUID, list[float]]:
    """The improvement of each experiment's candidate, in percent, over its newest looks of record, oldest first.

    Raises:
        DependencyError: the database is down.
    """
    query = """
        SELECT d.experiment_id, array_agg(d.improvement ORDER BY d.hour) AS improvements
        FROM unnest(%s::uuid[]) AS wanted (id)
        JOIN LATERAL (
            SELECT experiment_id, hour, improvement FROM eligibility_decisions
            WHERE experiment_id = wanted.id AND label = %s AND improvement BETWEEN -1e6 AND 1e6
            ORDER BY hour DESC LIMIT %s
        ) d ON true
        GROUP BY d.experiment_id
    """
    with store.connect() as connection:
        rows = connection.execute(
            query, [list(experiment_ids), record_label(store.settings), SPARKLINE_HOURS]
        ).fetchall()
    return {row["experiment_id"]: row["improvements"] for row in rows}


def phases_of(store: Store, experiment_id: UUID) -> list[Phase]:
    """Every phase, oldest first.

    Raises:
        DependencyError: the database is down.
    """
    query = """
        SELECT p.started_at, p.ended_at, p.is_running, coalesce(t.traffic, '{}') AS traffic
        FROM ab_experiment_phases p
        LEFT JOIN LATERAL (
            SELECT jsonb_object_agg(coalesce(v.name, share.key), share.value::float8) AS traffic
            FROM jsonb_each_text(p.traffic) share LEFT JOIN ab_variants v ON v.id::text = share.key
        ) t ON true
        WHERE p.experiment_id = %s ORDER BY p.started_at, p.id
    """
    with store.connect() as connection:
        return [Phase(**row) for row in connection.execute(query, [experiment_id])]


def holds_of(store: Store, experiment_id: UUID) -> list[HoldPeriod]:
    """Every hold on automatic promotion, oldest first.

    Raises:
        DependencyError: the database is down.
    """
    query = """
        SELECT valid_from, nullif(valid_until, 'infinity') AS valid_until, hold AS reason
        FROM ab_hold_history WHERE experiment_id = %s ORDER BY valid_from
    """
    with store.connect() as connection:
        return [HoldPeriod(**row) for row in connection.execute(query, [experiment_id])]


def audit_of(store: Store, experiment_id: UUID, *, newest: int | None = None) -> list[AuditEntry]:
    """The acts of record on an experiment, oldest first.

    Args:
        newest: that many of them at most, the newest; None: all.

    Raises:
        DependencyError: the database is down.
    """
    query = """
        SELECT a.at, a.actor, a.action, e.name AS experiment_name, a.promotion_id, a.details
        FROM promotion_audit a JOIN ab_experiments e ON e.id = a.experiment_id WHERE e.id = %s
        ORDER BY a.id DESC LIMIT %s
    """
    with store.connect() as connection:
        rows = connection.execute(query, [experiment_id, newest]).fetchall()
    return [AuditEntry(**row) for row in reversed(rows)]


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not abs(value) < float("inf") else value
        for name, value in row.items()
    }
