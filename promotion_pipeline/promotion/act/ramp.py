"""Ramps: the winner's traffic rises in steps, each held and watched; a holdback is the last step but one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import psycopg

from promotion_pipeline.config import Mode
from promotion_pipeline.errors import ConflictError, DependencyError, PromotionError, SplitDriftError
from promotion_pipeline.promotion.act.payload import RampBlockedPayload, RampStepPayload
from promotion_pipeline.promotion.act.promote import require_live_mode
from promotion_pipeline.promotion.act.rollback import named_split
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import experiment_name_of, required_text
from promotion_pipeline.promotion.record.models import Outcome, Promotion, SweepEntry
from promotion_pipeline.promotion.record.queries import live_promotion, promotion_from, promotions_where
from promotion_pipeline.promotion.record.splits import Split, split_of_step
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    database_errors,
    in_transaction,
    lock_experiment,
    read_experiment,
    store_or_current,
)
from promotion_pipeline.promotion.record.watched import command
from promotion_pipeline.promotion.watch.drift import drift_in
from promotion_pipeline.promotion.watch.look import blindness, breach_message, judge_observation
from promotion_pipeline.promotion.watch.observing import Observation, observe
from promotion_pipeline.promotion.watch.rules import WatchStatus, overall
from promotion_pipeline.promotion.watch.state import close_alarms
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.text.numbers import share_text
from promotion_pipeline.traffic.deliveries import TrafficState, newest_delivery


def advance_ramps(store: Store, *, actor: str = "promotion_ramp") -> tuple[SweepEntry, ...]:
    """Take the next step of every ramp whose step was held long enough and was clean; one transaction each.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        ramping = promotions_where(connection, "state = 'ramping'", [])
    return tuple(_advanced(store, promotion, actor) for promotion in ramping)


def _advanced(store: Store, promotion: Promotion, actor: str) -> SweepEntry:
    try:
        return step_ramp(store, promotion.experiment_id, actor)
    except DependencyError:
        raise
    except (PromotionError, psycopg.Error) as error:
        return _entry(promotion, Outcome.FAILED, " ".join(str(error).split()))


def step_ramp(store: Store, experiment_id: UUID, actor: str) -> SweepEntry:
    """Take the next step of one experiment's ramp if it may be taken now, else say why not. Idempotent.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: another act holds it.
        DependencyError: the database is down.
    """
    # The log may answer slowly. It is asked before the experiment is locked, and only if the step is due.
    seen = _observed(store, experiment_id)
    return in_transaction(store, partial(_step_if_due, store, experiment_id, actor, seen))


def _observed(store: Store, experiment_id: UUID) -> tuple[Promotion, Observation] | None:
    """The promotion that ramps, and what was seen of its step, once that was held long enough."""
    with store.connect() as connection, database_errors():
        live = live_promotion(connection, experiment_id)
        at = database_now(connection).astimezone(UTC)
    if live is None or live.state is not PromotionState.RAMPING or at < _due_at(live):
        return None
    return live, observe(store, [live], at)[live.id]


@dataclass(frozen=True)
class NextStep:
    """The step that a ramp would take next; splits are percent of traffic by variant name, control first."""

    promotion: Promotion
    percent: float
    before: Split
    split: Split


def advance_ramp(
    experiment_name: str,
    advanced_by: str,
    *,
    reason: str | None = None,
    to_percent: float | None = None,
    store: Store | None = None,
) -> Promotion:
    """Take the next step of a ramp now, whatever the watch says: a person's decision.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        advanced_by: who; kept in the audit.
        reason: why; kept in the audit.
        to_percent: the step that is meant. Repeated after an answer that was lost, the call is then a conflict
            instead of one step more.
        store: the database; default that of the environment.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: it does not ramp, its next step is not `to_percent`, or the mode is shadow.
        SplitDriftError: somebody else changed the split since.
        InputError: a value is empty.
        DependencyError: the database is down.
    """
    name, actor = experiment_name_of(experiment_name), required_text(advanced_by, "advanced_by")
    why = None if reason is None else required_text(reason, "reason")
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        reached(FaultPoint.LOCKED)
        step = _next_step(context, to_percent)
        return _take_step(context, step.promotion, actor, why)

    stepped = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return stepped


def plan_advance(experiment_name: str, *, to_percent: float | None = None, store: Store | None = None) -> NextStep:
    """What `advance_ramp` would do now; changes nothing, and raises what it raises."""
    name, where = experiment_name_of(experiment_name), store_or_current(store)
    with where.connect() as connection, database_errors():
        return _next_step(read_experiment(connection, where, name), to_percent)


def _next_step(context: ActContext, to_percent: float | None) -> NextStep:
    name = context.experiment.name
    require_live_mode(context.store)
    live = live_promotion(context.connection, context.experiment.id)
    if live is None or live.state is not PromotionState.RAMPING:
        raise ConflictError(f"{name!r} does not ramp: there is no next step")
    percent = live.snapshot["ramp"][live.ramp_step + 1]["percent"]
    if to_percent is not None and percent != to_percent:
        asked = f"{share_text(percent)}, not {share_text(to_percent)}"
        raise ConflictError(f"the next step of {name!r} is {asked}: look at it again")
    drift = drift_in(context, live)
    if drift:
        raise SplitDriftError(
            f"{name!r}: {drift}; put the promotion's split back ({command('traffic overwrite', name)}) or roll back"
        )
    split = split_of_step(live.snapshot, live.ramp_step + 1)
    return NextStep(live, percent, named_split(context, context.split), named_split(context, split))


def _step_if_due(
    store: Store,
    experiment_id: UUID,
    actor: str,
    seen: tuple[Promotion, Observation] | None,
    connection: Connection,
) -> SweepEntry:
    context = lock_experiment(connection, store, experiment_id)
    live = live_promotion(connection, experiment_id)
    if live is None or live.state is not PromotionState.RAMPING:
        return SweepEntry(
            experiment_name=context.experiment.name, outcome=Outcome.NOTHING_TO_DO, message="it does not ramp any more"
        )
    reached(FaultPoint.LOCKED)
    blocked = _paused(context, live)
    if blocked is None and (seen is None or (seen[0].id, seen[0].ramp_step) != (live.id, live.ramp_step)):
        blocked = "it changed meanwhile: it is looked at again"
    if blocked is None and seen is not None:
        blocked = _unsound(context, live, seen[1])
    if blocked:
        return _entry(live, Outcome.RAMP_WAITS, blocked)
    stepped = _take_step(context, live, actor)
    percent = stepped.snapshot["ramp"][stepped.ramp_step]["percent"]
    over = ": the holdback is over" if live.is_held_back else ""
    got = f"{stepped.promoted_variant_name!r} has {share_text(percent)} of the traffic{over}"
    return _entry(stepped, Outcome.RAMPED, got)


def _due_at(promotion: Promotion) -> datetime:
    return promotion.step_started_at + timedelta(hours=promotion.hold_hours)


def _paused(context: ActContext, promotion: Promotion) -> str | None:
    """Why the next step is not due yet; nobody needs to be told."""
    due = _due_at(promotion)
    if context.at < due:
        what = "the holdback lasts until" if promotion.is_held_back else "the next step is due at"
        return f"{what} {due.isoformat(timespec='seconds')}"
    if not context.store.settings.enabled:
        return "automatic promotion is switched off (AUTO_PROMOTION_ENABLED=false)"
    if context.store.settings.mode is Mode.SHADOW:
        return "the mode is shadow: no traffic changes"
    delivery = newest_delivery(context.connection, context.experiment.id)
    if delivery is not None and delivery.state is not TrafficState.VERIFIED:
        return f"this step is decided, and not served yet: its delivery is {delivery.state.value}"
    hold = context.experiment.hold
    if hold is not None and hold != promotion.snapshot.get("hold"):
        return f"on hold: {hold}"
    return None


def _unsound(context: ActContext, promotion: Promotion, seen: Observation) -> str | None:
    """Why a step that is due cannot be taken; people are told, once a step and cause."""
    drift = drift_in(context, promotion)
    if drift:
        return _notify_blocked(context, promotion, "drift", drift)
    checks = judge_observation(promotion, seen)
    match overall(checks):
        case WatchStatus.CLEAN:
            return None
        case WatchStatus.BREACH:
            # No message from here: the watch alerts about a breach.
            return breach_message([check for check in checks if check.status is WatchStatus.BREACH])
        case WatchStatus.UNMEASURED:
            blind = blindness(promotion, seen, context.at)
            return _notify_blocked(context, promotion, "unmeasured", blind or checks[0].message)


def _notify_blocked(context: ActContext, promotion: Promotion, cause: str, message: str) -> str:
    key = f"ramp_blocked:{promotion.id}:{promotion.ramp_step}:{cause}"
    payload = RampBlockedPayload(
        winner=promotion.promoted_variant_name,
        message=(message,),
        ramp_step=promotion.ramp_step,
        traffic_percent=promotion.snapshot["ramp"][promotion.ramp_step]["percent"],
        next_percent=promotion.snapshot["ramp"][promotion.ramp_step + 1]["percent"],
        can_be_taken=cause == "unmeasured",
    )
    context.notify(Event.RAMP_BLOCKED, "warning", promotion.id, key, payload)
    return message


def _take_step(context: ActContext, promotion: Promotion, actor: str, reason: str | None = None) -> Promotion:
    step = promotion.ramp_step + 1
    is_last = step == len(promotion.snapshot["ramp"]) - 1
    row = context.connection.execute(
        "UPDATE experiment_promotions SET ramp_step = %s, step_started_at = %s, state = %s WHERE id = %s RETURNING *",
        [step, context.at, PromotionState.PROMOTED if is_last else PromotionState.RAMPING, promotion.id],
    ).fetchone()
    assert row is not None
    stepped = promotion_from(row)
    reached(FaultPoint.RECORD_WRITTEN)
    split = split_of_step(promotion.snapshot, step)
    delivery = context.set_traffic(split, is_active=False, promotion_id=promotion.id)
    reached(FaultPoint.TRAFFIC_SET)
    percent = promotion.snapshot["ramp"][step]["percent"]
    # Alarms about the step before end with it. If the trouble goes on, the watch raises them anew.
    close_alarms(context.connection, promotion.id)
    details = {"ramp_step": step, "percent": percent, "reason": reason}
    held = {"begins": stepped.is_held_back, "is_over": promotion.is_held_back}
    marks = {f"holdback_{what}": True for what, holds in held.items() if holds}
    context.audit(actor, Action.RAMP, promotion.id, details | marks)
    key = f"ramp_step:{promotion.id}:{step}"
    said = RampStepPayload.of(stepped, by=actor)
    context.notify_when_served(delivery, Event.RAMP_STEP, "info", promotion.id, key, said)
    reached(FaultPoint.BEFORE_COMMIT)
    return stepped


def _entry(promotion: Promotion, outcome: Outcome, message: str) -> SweepEntry:
    return SweepEntry(
        experiment_name=promotion.experiment_name, outcome=outcome, message=message, promotion_id=promotion.id
    )
