"""What a person decides about a promotion that stays: its breach is acknowledged, its split is put back."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.payload import BreachAcknowledgedPayload, SplitOverwrittenPayload
from promotion_pipeline.promotion.act.promote import require_live_mode
from promotion_pipeline.promotion.act.rollback import named_split
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import experiment_name_of, required_text
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import live_promotion, promotion_of
from promotion_pipeline.promotion.record.splits import Split, as_text, split_of_step
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    database_errors,
    in_transaction,
    lock_experiment,
    read_experiment,
    store_or_current,
)
from promotion_pipeline.promotion.watch.drift import drift_in, recorded_names
from promotion_pipeline.promotion.watch.state import keep
from promotion_pipeline.store.database import Connection, Store


def acknowledge_breach(
    experiment_name: str, reason: str, acknowledged_by: str, *, store: Store | None = None
) -> Promotion:
    """Keep a promotion although the watch found its winner worse.

    The breach is shown as acknowledged, and its metrics raise no alarm until they were clean again; others do.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        reason: why it is kept; in the audit and beside the promotion.
        acknowledged_by: who says so.
        store: the database; default that of the environment.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: no breach is open.
        InputError: a value is empty.
        DependencyError: the database is down.
    """
    name = experiment_name_of(experiment_name)
    why, actor = required_text(reason, "reason"), required_text(acknowledged_by, "acknowledged_by")
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        live = live_promotion(connection, context.experiment.id)
        watch = None if live is None else live.watch
        if live is None or watch is None or watch.breach is None:
            raise ConflictError(f"{name!r}: no breach is open, so there is nothing to acknowledge")
        metrics = [str(metric) for metric in watch.breach["metrics"]]
        values = {
            "breached_at": None,
            "breach": None,
            "muted": sorted({*watch.muted, *metrics}),
            "acknowledged_at": context.at,
            "acknowledged_by": actor,
            "acknowledged_because": why,
        }
        kept = {"looked_at": watch.looked_at, "status": watch.status, "message": watch.message}
        keep(connection, live.id, kept | values)
        details = {"reason": why, "metrics": metrics, "message": watch.breach["message"]}
        context.audit(actor, Action.ACKNOWLEDGE_BREACH, live.id, details)
        payload = BreachAcknowledgedPayload(
            reason=why,
            metrics=tuple(metrics),
            message=(watch.breach["message"],),
            winner=live.promoted_variant_name,
            acknowledged_by=actor,
        )
        key = f"breach_acknowledged:{live.id}:{context.at.isoformat()}"
        context.notify(Event.BREACH_ACKNOWLEDGED, "info", live.id, key, payload)
        return _again(connection, live)

    kept = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return kept


@dataclass(frozen=True)
class OverwritePlan:
    """What putting a promotion's split back would change; percent of traffic by variant name, control first."""

    promotion: Promotion
    before: Split
    split: Split
    drift: str


def overwrite_split(experiment_name: str, reason: str, overwritten_by: str, *, store: Store | None = None) -> Promotion:
    """Put the split of the live promotion back after somebody else changed it; the experiment is stopped again.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: nothing is promoted, the split is the promotion's, a variant with traffic exists no more, or
            the mode is shadow.
        InputError: a value is empty.
        DependencyError: the database is down.
    """
    name = experiment_name_of(experiment_name)
    why, actor = required_text(reason, "reason"), required_text(overwritten_by, "overwritten_by")
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        reached(FaultPoint.LOCKED)
        plan = _plan(context)
        live = plan.promotion
        target = split_of_step(live.snapshot, live.ramp_step)
        wanted = {key: target.get(key, 0) for key in context.split}
        context.set_traffic(wanted, is_active=False, promotion_id=live.id)
        reached(FaultPoint.TRAFFIC_SET)
        if live.watch is not None:
            kept = {"looked_at": live.watch.looked_at, "status": live.watch.status, "message": live.watch.message}
            keep(connection, live.id, {**kept, "drifted_at": None, "drift": None})
        details = {"reason": why, "split": as_text(plan.split), "drift": plan.drift}
        context.audit(actor, Action.OVERWRITE_SPLIT, live.id, details)
        payload = SplitOverwrittenPayload(
            reason=why,
            split=as_text(plan.split),
            drift=plan.drift or "",
            winner=live.promoted_variant_name,
            overwritten_by=actor,
        )
        key = f"split_overwritten:{live.id}:{context.at.isoformat()}"
        context.notify(Event.SPLIT_OVERWRITTEN, "info", live.id, key, payload)
        reached(FaultPoint.BEFORE_COMMIT)
        return _again(connection, live)

    stands = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return stands


def plan_overwrite(experiment_name: str, *, store: Store | None = None) -> OverwritePlan:
    """What `overwrite_split` would do now; changes nothing, and raises what it raises."""
    name, where = experiment_name_of(experiment_name), store_or_current(store)
    with where.connect() as connection, database_errors():
        return _plan(read_experiment(connection, where, name))


def _plan(context: ActContext) -> OverwritePlan:
    name = context.experiment.name
    require_live_mode(context.store)
    live = live_promotion(context.connection, context.experiment.id)
    if live is None:
        raise ConflictError(f"{name!r} has no live promotion: there is no split to put back")
    drift = drift_in(context, live)
    if drift is None:
        raise ConflictError(f"{name!r} has the split that its promotion set: there is nothing to put back")
    target = split_of_step(live.snapshot, live.ramp_step)
    gone = [key for key, share in target.items() if share > 0 and key not in context.split]
    if gone:
        names = recorded_names(live)
        raise ConflictError(
            f"{name!r}: variant {', '.join(repr(names.get(key, key)) for key in gone)} exists no more, so its traffic"
            " cannot be restored; roll back (--to control, or --to close to keep what stands)"
        )
    split = named_split(context, {key: target.get(key, share * 0) for key, share in context.split.items()})
    return OverwritePlan(live, named_split(context, context.split), split, drift)


def _again(connection: Connection, promotion: Promotion) -> Promotion:
    found = promotion_of(connection, promotion.id)
    assert found is not None
    return found
