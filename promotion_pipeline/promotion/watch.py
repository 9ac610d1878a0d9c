"""The watch after a promotion: measure the winner, alert on a breach, roll back where that is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from promotion_pipeline.config import Mode, parse_config
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.acts import Scene, database_errors, in_transaction, lock_experiment
from promotion_pipeline.promotion.events import Action, Event
from promotion_pipeline.promotion.models import Promotion
from promotion_pipeline.promotion.records import live_promotion, promotions_where
from promotion_pipeline.promotion.rollback import Reversal, RollbackTarget, roll_back
from promotion_pipeline.promotion.watch_rules import Sums, WatchCheck, WatchStatus, Window, judge_window, overall
from promotion_pipeline.store.database import Connection, Store

WATCHED = """
    state = 'ramping' OR (state = 'promoted' AND clock_timestamp() <
        step_started_at + ((config ->> 'watch_hours')::float8 + 1) * interval '1 hour')
"""
"""One hour more than `watch_hours`, so that an hourly watch sees the last of them."""

_SUMS = """
    WITH watched AS (
        SELECT p.id, p.experiment_id, p.step_started_at, e.rollup_source, clock_timestamp() AS at,
            clock_timestamp() - (p.config ->> 'attribution_window_hours')::float8 * interval '1 hour' AS mature_before
        FROM experiment_promotions p JOIN ab_experiments e ON e.id = p.experiment_id
        WHERE p.id = ANY(%s)
    )
    SELECT w.id AS promotion_id, r.variant_id::text, r.created_at > w.at - interval '1 hour' AS is_recent,
        count(*) AS requests,
        count(*) FILTER (WHERE r.is_error) AS errors,
        count(*) FILTER (WHERE r.created_at <= w.mature_before) AS matured_requests,
        count(*) FILTER (WHERE r.created_at <= w.mature_before AND r.converted) AS conversions,
        count(l.ms) AS latency_samples,
        coalesce(sum(l.ms), 0) AS latency_ms_sum,
        coalesce(sum(l.ms * l.ms), 0) AS latency_ms_sum_squares,
        coalesce(sum(l.amount) FILTER (WHERE r.created_at <= w.mature_before), 0) AS value_sum,
        coalesce(sum(l.amount * l.amount) FILTER (WHERE r.created_at <= w.mature_before), 0) AS value_sum_squares
    FROM watched w
    JOIN promotion_pipeline_requests r ON r.experiment_id = w.experiment_id
        AND r.created_at >= w.step_started_at AND r.created_at <= w.at
    CROSS JOIN LATERAL (SELECT
        CASE WHEN r.latency_ms >= 0 AND r.latency_ms < 'Infinity' THEN r.latency_ms::float8 END,
        CASE WHEN r.value::float8 > '-Infinity' AND r.value::float8 < 'Infinity' THEN r.value::float8 END
    ) AS l (ms, amount)
    WHERE w.rollup_source = 'requests'
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT w.id, r.variant_id::text, r.hour > w.at - interval '2 hours', sum(r.requests)::bigint,
        sum(r.errors)::bigint, sum(r.requests)::bigint, sum(r.conversions)::bigint, sum(r.latency_samples)::bigint,
        sum(r.latency_ms_sum), sum(r.latency_ms_sum_squares), sum(r.value_sum), sum(r.value_sum_squares)
    FROM watched w
    JOIN hourly_variant_rollups r ON r.experiment_id = w.experiment_id AND r.hour >= w.step_started_at
    WHERE w.rollup_source = 'imported'
    GROUP BY 1, 2, 3
"""


class WatchAction(StrEnum):
    """What the watch did about what it found."""

    NONE = "none"
    """Nothing to do."""
    ALERTED = "alerted"
    """People are told."""
    ALERTED_BEFORE = "alerted_before"
    """The same breach was told before."""
    ROLLED_BACK = "rolled_back"
    """The promotion was rolled back."""


@dataclass(frozen=True)
class Observation:
    """What each variant did since the current step and in the last hour, by variant id."""

    step: dict[str, Sums] = field(default_factory=dict)
    recent: dict[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True)
class WatchResult:
    """One watched promotion."""

    promotion_id: UUID
    experiment_name: str
    winner: str
    state: str
    status: WatchStatus
    action: WatchAction
    checks: tuple[WatchCheck, ...]
    requests: int
    """Of the winner, since the current step."""
    message: str


def watch_promotions(store: Store, *, actor: str = "promotion_watch") -> tuple[WatchResult, ...]:
    """Look at every promotion that ramps, or reached 100 percent less than `watch_hours` ago.

    A breach is told at once, once a promotion, step and metric; where the promotion's `auto_rollback` is on it is
    rolled back (in shadow mode people are only told, since no traffic changes). Idempotent.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        watched = promotions_where(connection, WATCHED, [])
        seen = observe(connection, watched)
    return tuple(_watch(store, promotion, seen[promotion.id], actor) for promotion in watched)


def observe(connection: Connection, promotions: Sequence[Promotion]) -> dict[UUID, Observation]:
    """Sums since the current step of each promotion, in one query."""
    seen = {promotion.id: Observation() for promotion in promotions}
    for row in connection.execute(_SUMS, [list(seen)]):
        sums = Sums(**{name: float(row[name]) for name in vars(Sums())})
        observation, variant = seen[row["promotion_id"]], row["variant_id"]
        observation.step[variant] = observation.step.get(variant, Sums()) + sums
        if row["is_recent"]:
            observation.recent[variant] = sums
    return seen


def judge_observation(promotion: Promotion, seen: Observation) -> tuple[WatchCheck, ...]:
    """The winner against its snapshot, and against control while that gets traffic."""
    before, config = _before(promotion), parse_config(promotion.config, source="recorded config")
    winner, control = str(promotion.promoted_variant_id), str(promotion.control_variant_id)
    windows: tuple[tuple[Window, dict[str, Sums]], ...] = (("step", seen.step), ("recent", seen.recent))
    return tuple(
        check
        for window, sums in windows
        for check in judge_window(
            window,
            before,
            sums.get(winner, Sums()),
            sums.get(control, Sums()),
            config,
        )
    )


def _before(promotion: Promotion) -> Sums:
    """The winner's sums in the snapshot."""
    rows: list[Mapping[str, Any]] = promotion.snapshot["variants"]
    row = next(row for row in rows if row["variant_id"] == str(promotion.promoted_variant_id))
    known = {name: float(row.get(name) or 0) for name in vars(Sums()) if name != "matured_requests"}
    return Sums(**known, matured_requests=known["requests"])


def _watch(store: Store, promotion: Promotion, seen: Observation, actor: str) -> WatchResult:
    checks = judge_observation(promotion, seen)
    status = overall(checks)
    breaches = [check for check in checks if check.status is WatchStatus.BREACH]
    action = WatchAction.NONE
    message = "; ".join(check.message for check in breaches) or checks[0].message
    if breaches:
        action, note = in_transaction(store, partial(_act, store, promotion, breaches, actor))
        message += note
    winner = seen.step.get(str(promotion.promoted_variant_id), Sums())
    return WatchResult(
        promotion_id=promotion.id,
        experiment_name=promotion.experiment_name,
        winner=promotion.promoted_variant_name,
        state=promotion.state.value,
        status=status,
        action=action,
        checks=checks,
        requests=int(winner.requests),
        message=message,
    )


def _act(
    store: Store, promotion: Promotion, breaches: Sequence[WatchCheck], actor: str, connection: Connection
) -> tuple[WatchAction, str]:
    """Tell people, and roll back where that is on; the note says why not."""
    scene = lock_experiment(connection, store, promotion.experiment_id)
    live = live_promotion(connection, promotion.experiment_id)
    if live is None or live.id != promotion.id or live.ramp_step != promotion.ramp_step:
        return WatchAction.NONE, " (changed meanwhile)"
    told = [_tell(scene, live, breach, actor) for breach in breaches]
    action = WatchAction.ALERTED if any(told) else WatchAction.ALERTED_BEFORE
    if not live.config.get("auto_rollback"):
        return action, ""
    if store.settings.mode is Mode.SHADOW:
        return action, " (not rolled back: the mode is shadow)"
    reason = "watch: " + "; ".join(breach.message for breach in breaches)
    try:
        # A savepoint: a refused rollback must not take the alert with it.
        with connection.transaction():
            roll_back(scene, live, Reversal(reason, actor, RollbackTarget.PREVIOUS))
    except ConflictError as error:
        return action, f" (not rolled back: {error})"
    return WatchAction.ROLLED_BACK, ""


def _tell(scene: Scene, promotion: Promotion, breach: WatchCheck, actor: str) -> bool:
    """Write the alert of a metric, once a promotion and step."""
    details = {
        "metric": breach.metric.value,
        "observed": breach.observed,
        "baseline": breach.baseline,
        "control": breach.control,
        "limit": breach.limit,
        "message": breach.message,
    }
    key = f"watch:{promotion.id}:{promotion.ramp_step}:{breach.metric.value}"
    payload = {**details, "winner": promotion.promoted_variant_name}
    is_new = scene.notify(Event.WATCH_BREACH, "critical", promotion.id, key, payload)
    if is_new:
        scene.audit(actor, Action.WATCH_BREACH, promotion.id, details)
    return is_new
