"""What is decided or due, and not applied yet; and the act that applies it.

Asking is read-only and level-triggered: it looks at what is, not at what changed. An attempt is noted before the
act and finished after it, so that a process that died in between is followed by another attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

import psycopg

from promotion_pipeline.config import Mode, Settings, thresholds_in_force
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.errors import ConfigError, PromotionError
from promotion_pipeline.evaluation.unattended import MadeBy, UnattendedFacts, asks_a_person, may_go_unattended
from promotion_pipeline.promotion.act.ramp import step_ramp
from promotion_pipeline.promotion.record.experiments import END_DATE, experiment_of
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import required_text
from promotion_pipeline.promotion.record.models import Outcome, SweepEntry
from promotion_pipeline.promotion.record.queries import live_promotion
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.unattended.sweep import settle
from promotion_pipeline.rollups.usual_traffic import traffic_of
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR

CLAIM_SECONDS = 30
"""An attempt that began less than this ago is taken to be at work."""
MOST_ATTEMPTS = 5
"""A kind of act on an experiment that failed so often is left alone until the next hour."""


class PendingKind(StrEnum):
    """What is to be done."""

    DECISION = "decision"
    """A decision of record says eligible: promote, or ask a person."""
    SHADOW = "shadow"
    """The same of a deployment in shadow mode: note what would be promoted."""
    RAMP = "ramp"
    """The next step of a ramp, or the end of a holdback, is due."""


@dataclass(frozen=True)
class Pending:
    """One act that waits; `run_key` is new for each attempt."""

    kind: PendingKind
    experiment_id: UUID
    experiment_name: str
    as_of: datetime
    """The newest complete hour when this was asked."""
    attempt: int

    @property
    def run_key(self) -> str:
        """Names this attempt: a launcher that remembers it launches no second run for it."""
        return f"{self.kind.value}:{self.experiment_id}:{self.as_of.isoformat()}:{self.attempt}"


_DECISIONS = f"""
    SELECT e.id, e.name, e.promotion_config, {END_DATE} AS end_date, d.is_eligible, d.is_promotable, d.as_of,
        d.made_by, d.warnings, w.newest, clock_timestamp() AS now,
        NOT EXISTS (SELECT 1 FROM ab_unnoted(ARRAY[e.id])) AS is_phase_current,
        CASE WHEN e.rollup_source = 'requests' THEN p.started_at END AS traffic_since,
        EXISTS (SELECT 1 FROM promotion_approvals a
            WHERE a.experiment_id = e.id AND a.candidate_variant_id = d.candidate_variant_id
                AND a.state IN ('awaiting_approval', 'approved') AND a.promotion_id IS NULL
                AND a.expires_at > clock_timestamp()) AS is_asked,
        EXISTS (SELECT 1 FROM experiment_promotions s
            WHERE s.experiment_id = e.id AND s.phase_id = d.phase_id AND s.state = 'shadow'
                AND s.promoted_variant_id = d.candidate_variant_id) AS is_shadowed
    FROM eligibility_decisions d
    JOIN ab_experiments e ON e.id = d.experiment_id AND e.is_active AND e.auto_promotion_hold IS NULL
    JOIN ab_experiment_phases p ON p.id = d.phase_id AND p.ended_at IS NULL AND p.is_running
    CROSS JOIN LATERAL (SELECT max(coalesce(r.newest_request_at, r.hour + interval '1 hour')) AS newest
        FROM hourly_variant_rollups r
        WHERE r.experiment_id = e.id AND r.phase_id = d.phase_id AND r.requests > 0 AND r.hour < d.as_of) AS w
    WHERE d.hour = %(as_of)s - interval '1 hour' AND d.label = %(label)s AND d.is_eligible
        AND NOT EXISTS (SELECT 1 FROM experiment_promotions l
            WHERE l.experiment_id = e.id AND l.state IN ('ramping', 'promoted'))
    ORDER BY e.name
"""

_RAMPS = """
    SELECT e.id, e.name FROM experiment_promotions p JOIN ab_experiments e ON e.id = p.experiment_id
    WHERE p.state = 'ramping'
        AND p.step_started_at + coalesce(p.snapshot #>> ARRAY['ramp', p.ramp_step::text, 'hold_hours'],
            p.config ->> 'ramp_hold_hours')::float8 * interval '1 hour' <= clock_timestamp()
        AND (e.auto_promotion_hold IS NULL OR e.auto_promotion_hold = p.snapshot ->> 'hold')
        AND NOT EXISTS (SELECT 1 FROM traffic_deliveries d
            WHERE d.experiment_id = e.id AND d.state IN ('pending', 'applied', 'conflicted', 'failed'))
    ORDER BY e.name
"""

_ATTEMPTS = """
    -- After a step of a ramp the next one may be due within the same hour.
    SELECT experiment_id, kind, count(*) AS made,
        bool_or(finished_at IS NOT NULL AND outcome NOT IN ('failed', 'ramped')) AS is_done,
        bool_or(finished_at IS NULL AND started_at > clock_timestamp() - %(claim)s * interval '1 second') AS is_at_work
    FROM promotion_attempts WHERE as_of = %(as_of)s GROUP BY 1, 2
"""


def pending_promotions(store: Store, *, claim_seconds: float = CLAIM_SECONDS) -> tuple[Pending, ...]:
    """What waits to be applied now; nothing while automatic promotion is switched off. Writes nothing.

    Raises:
        DependencyError: the database is down.
    """
    settings = store.settings
    if not settings.enabled:
        return ()
    with store.connect() as connection, database_errors():
        as_of = newest_complete_hour(connection)
        label = record_label(settings)
        decided = connection.execute(_DECISIONS, {"as_of": as_of, "label": label}).fetchall()
        waiting = [(_deciding(settings), row) for row in _to_do(connection, settings, decided)]
        if settings.mode is Mode.LIVE:
            waiting += [(PendingKind.RAMP, row) for row in connection.execute(_RAMPS)]
        attempts = connection.execute(_ATTEMPTS, {"as_of": as_of, "claim": claim_seconds}).fetchall()
    return _not_attempted(waiting, attempts, as_of)


def _to_do(connection: Connection, settings: Settings, decided: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The decisions that acting upon could change anything about: not where the person was asked already."""
    judged = [(row, facts) for row in decided if (facts := _facts(settings, row)) is not None]
    # The query for an hour's usual traffic is the dear one, and this runs every half minute: it is asked only about
    # experiments that everything else lets go.
    going = {str(row["id"]): row["traffic_since"] for row, facts in judged if may_go_unattended(facts)}
    since = {key: at for key, at in going.items() if at is not None}
    traffic = traffic_of(connection, since, decided[0]["as_of"] - HOUR) if since else {}
    quiet = {key for key, hour in traffic.items() if hour.is_quiet}
    judged = [(row, replace(facts, is_quiet=str(row["id"]) in quiet)) for row, facts in judged]
    return [row for row, facts in judged if _changes_something(settings, row, facts)]


def _facts(settings: Settings, row: dict[str, Any]) -> UnattendedFacts | None:
    """What the stored decision and the tables say; None where the experiment's own thresholds are not valid."""
    try:
        config = thresholds_in_force(settings.thresholds, row["promotion_config"]).used
    except ConfigError:
        return None
    return UnattendedFacts(
        is_eligible=row["is_eligible"],
        is_promotable=row["is_promotable"],
        as_of=row["as_of"],
        now=row["now"],
        newest_request_at=row["newest"],
        max_staleness_hours=config.max_staleness_hours,
        require_manual_approval=config.require_manual_approval,
        end_date=row["end_date"],
        warnings=tuple(row["warnings"]),
        is_phase_current=row["is_phase_current"],
        made_by=MadeBy(row["made_by"]),
        is_enabled=settings.enabled,
    )


def _changes_something(settings: Settings, row: dict[str, Any], facts: UnattendedFacts) -> bool:
    if may_go_unattended(facts):
        return settings.mode is Mode.LIVE or not row["is_shadowed"]
    return settings.mode is Mode.LIVE and asks_a_person(facts) and not row["is_asked"]


def _not_attempted(
    waiting: Sequence[tuple[PendingKind, dict[str, Any]]], attempts: Sequence[dict[str, Any]], as_of: datetime
) -> tuple[Pending, ...]:
    """Leave out what was settled at this hour, is at work, or failed too often; one act an experiment."""
    made = {(row["experiment_id"], row["kind"]): row for row in attempts}
    waits: dict[UUID, Pending] = {}
    for kind, row in waiting:
        before = made.get((row["id"], kind.value))
        if before and (before["is_done"] or before["is_at_work"] or before["made"] >= MOST_ATTEMPTS):
            continue
        attempt = 1 + (before["made"] if before else 0)
        waits.setdefault(row["id"], Pending(kind, row["id"], row["name"], as_of, attempt))
    return tuple(waits.values())


def apply_pending(store: Store, experiment_id: UUID | str, actor: str) -> SweepEntry:
    """Do what waits about one experiment; everything is decided again under its lock.

    Idempotent: if nothing waits any more, the outcome says so. A kind of act that failed is pending again.

    Raises:
        NotFoundError: there is no such experiment.
        ConfigError, ConflictError: the act cannot be done; the attempt is noted as failed.
        DependencyError: the database is down.
    """
    key, name = UUID(str(experiment_id)), required_text(actor, "actor")
    with store.connect() as connection, database_errors():
        kind = _kind_of(connection, store.settings, key)
        as_of, attempt = _begin(connection, key, kind, name)
    reached(FaultPoint.ATTEMPT_BEGUN)
    try:
        entry = _apply(store, key, kind, name)
    except (PromotionError, psycopg.Error) as error:
        _finish(store, key, as_of, kind, attempt, Outcome.FAILED, " ".join(str(error).split()))
        raise
    reached(FaultPoint.ATTEMPT_UNFINISHED)
    _finish(store, key, as_of, kind, attempt, entry.outcome, entry.message)
    return entry


def _apply(store: Store, experiment_id: UUID, kind: PendingKind, actor: str) -> SweepEntry:
    match kind:
        case PendingKind.DECISION | PendingKind.SHADOW:
            return settle(store, experiment_id, actor)
        case PendingKind.RAMP:
            return step_ramp(store, experiment_id, actor)
        case _ as never:
            assert_never(never)


def _deciding(settings: Settings) -> PendingKind:
    return PendingKind.SHADOW if settings.mode is Mode.SHADOW else PendingKind.DECISION


def _kind_of(connection: Connection, settings: Settings, experiment_id: UUID) -> PendingKind:
    if settings.mode is Mode.SHADOW:
        return PendingKind.SHADOW
    live = live_promotion(connection, experiment_id)
    if live is not None and live.state is PromotionState.RAMPING:
        return PendingKind.RAMP
    return PendingKind.DECISION


def _begin(connection: Connection, experiment_id: UUID, kind: PendingKind, actor: str) -> tuple[datetime, int]:
    """Note that an attempt begins, on its own: it must outlive the act's failure."""
    as_of = newest_complete_hour(connection)
    while True:
        row = connection.execute(
            "INSERT INTO promotion_attempts (experiment_id, as_of, kind, actor, attempt)"
            " SELECT e.id, %(as_of)s, %(kind)s, %(actor)s, coalesce((SELECT max(a.attempt) FROM promotion_attempts a"
            " WHERE a.experiment_id = e.id AND a.as_of = %(as_of)s AND a.kind = %(kind)s), 0) + 1"
            " FROM ab_experiments e WHERE e.id = %(id)s ON CONFLICT DO NOTHING RETURNING attempt",
            {"as_of": as_of, "kind": kind.value, "actor": actor, "id": experiment_id},
        ).fetchone()
        if row is not None:
            return as_of, row["attempt"]
        experiment_of(connection, experiment_id)


def _finish(
    store: Store, experiment_id: UUID, as_of: datetime, kind: PendingKind, attempt: int, outcome: Outcome, message: str
) -> None:
    with store.connect() as connection, database_errors():
        connection.execute(
            "UPDATE promotion_attempts SET finished_at = clock_timestamp(), outcome = %s, message = %s"
            " WHERE experiment_id = %s AND as_of = %s AND kind = %s AND attempt = %s",
            [outcome.value, message, experiment_id, as_of, kind.value, attempt],
        )
