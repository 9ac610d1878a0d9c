"""The way back: the split of before, or everything to control; or, where neither exists any more, a clean end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from promotion_pipeline.errors import ConflictError, NothingToRollBackError, SplitDriftError
from promotion_pipeline.promotion.act.holds import set_hold
from promotion_pipeline.promotion.act.payload import RollbackPayload
from promotion_pipeline.promotion.act.warnings import settle_warnings
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import experiment_name_of, member_of, required_text
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import live_promotion, promotion_from, promotions_where, reread
from promotion_pipeline.promotion.record.splits import HUNDRED, Split, as_text, split_before
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    database_errors,
    in_transaction,
    lock_experiment,
    read_experiment,
    store_or_current,
)
from promotion_pipeline.promotion.watch.drift import drift_in, recorded_names
from promotion_pipeline.promotion.watch.state import close_alarms
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic.deliveries import SplitChange, TrafficState, newest_delivery


class RollbackTarget(StrEnum):
    """Where the traffic goes."""

    PREVIOUS = "previous"
    """The split of before the promotion, to the cent."""
    CONTROL = "control"
    """All to control: the emergency form."""
    CLOSE = "close"
    """Nowhere: the split stays as it stands, and the promotion's claim on it ends."""


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do, or did."""

    promotion: Promotion
    to: RollbackTarget
    split: Split
    """Percent of traffic by variant name, control first."""
    before: Split
    """The same, as it stands until then."""
    drift: str | None
    """What somebody else changed since the promotion."""
    is_active: bool
    """Whether the experiment runs afterwards."""


@dataclass(frozen=True)
class RollbackOrder:
    """Who rolls back, why and where to."""

    reason: str
    by: str
    to: RollbackTarget
    confirm_drift: bool = False


def rollback_promotion(
    experiment_name: str,
    reason: str,
    rolled_back_by: str,
    *,
    to: RollbackTarget | str = RollbackTarget.PREVIOUS,
    confirm_drift: bool = False,
    store: Store | None = None,
) -> Promotion:
    """Undo the live promotion of an experiment.

    The experiment is active again, in a new phase, and automatic promotion of it is on hold until
    `release_hold`: otherwise the next hour would promote the same variant again. `to="close"` changes neither the
    split nor whether the experiment runs: it only ends the promotion, on hold as well.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        reason: why; kept in the history and in the hold.
        rolled_back_by: who; kept in the history.
        to: `previous` restores the split of before the promotion, `control` gives control all traffic, `close`
            leaves the traffic as it stands (where variants were deleted, or somebody else's split shall stay).
        confirm_drift: overwrite a split that somebody else changed since the promotion.
        store: the database; default that of the environment.

    Returns:
        The promotion's record as it is now, state `rolled_back`.

    Raises:
        NotFoundError: no experiment has this name.
        NothingToRollBackError: it was never promoted, or is rolled back already.
        SplitDriftError: somebody else changed the split or restarted the experiment since.
        ConflictError: a variant that would get traffic exists no more; the message says which ways are left.
        InputError: a value is empty or unknown.
        DependencyError: the database is down.

    >>> rolled_back = rollback_promotion("reality-lens-v2", "Increased error rate detected", "user-123")
    >>> print(rolled_back.state.value, rolled_back.rollback_reason)
    rolled_back Increased error rate detected
    """
    name = experiment_name_of(experiment_name)
    order = RollbackOrder(
        reason=required_text(reason, "reason"),
        by=required_text(rolled_back_by, "rolled_back_by"),
        to=member_of(RollbackTarget, to, "to"),
        confirm_drift=confirm_drift,
    )
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        return roll_back(context, _require_live(context), order)

    rolled_back = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return rolled_back


def plan_rollback(
    experiment_name: str,
    *,
    to: RollbackTarget | str = RollbackTarget.PREVIOUS,
    confirm_drift: bool = False,
    store: Store | None = None,
) -> RollbackPlan:
    """What `rollback_promotion` with the same arguments would do now; changes nothing, and raises what it raises."""
    name, target = experiment_name_of(experiment_name), member_of(RollbackTarget, to, "to")
    where = store_or_current(store)

    with where.connect() as connection, database_errors():
        context = read_experiment(connection, where, name)
        return _plan(context, _require_live(context), target, confirm_drift=confirm_drift)


def _require_live(context: ActContext) -> Promotion:
    promotion = live_promotion(context.connection, context.experiment.id)
    if promotion is None:
        raise NothingToRollBackError(_nothing(context))
    return promotion


def _plan(context: ActContext, promotion: Promotion, to: RollbackTarget, *, confirm_drift: bool) -> RollbackPlan:
    """What is to be done; raises what is in the way."""
    target, drift = _target(context, promotion, to), drift_in(context, promotion)
    if drift and not confirm_drift and to is not RollbackTarget.CLOSE:
        raise SplitDriftError(
            f"{context.experiment.name!r}: {drift}; a rollback would overwrite that: confirm it (--overwrite-split,"
            " confirmDrift), or keep what stands and end the promotion (--to close)"
        )
    return RollbackPlan(
        promotion=promotion,
        to=to,
        split=named_split(context, target),
        before=named_split(context, context.split),
        drift=drift,
        is_active=context.experiment.is_active or to is not RollbackTarget.CLOSE,
    )


def named_split(context: ActContext, split: Split) -> Split:
    """A split by variant name, control first."""
    return {variant.name: split[str(variant.id)] for variant in context.variants if str(variant.id) in split}


def roll_back(context: ActContext, promotion: Promotion, order: RollbackOrder) -> Promotion:
    """Roll a live promotion back; the caller holds the lock.

    Raises:
        SplitDriftError, ConflictError: as `rollback_promotion`.
    """
    reached(FaultPoint.LOCKED)
    plan = _plan(context, promotion, order.to, confirm_drift=order.confirm_drift)
    target = _target(context, promotion, order.to)
    row = context.connection.execute(
        "UPDATE experiment_promotions SET state = %s, rollback_at = %s, rollback_reason = %s, rolled_back_by = %s"
        " WHERE id = %s RETURNING *",
        [PromotionState.ROLLED_BACK, context.at, order.reason, order.by, promotion.id],
    ).fetchone()
    assert row is not None
    reached(FaultPoint.RECORD_WRITTEN)
    close_alarms(context.connection, promotion.id)
    is_close = order.to is RollbackTarget.CLOSE
    hold = f"{'closed' if is_close else 'rolled back'} by {order.by}: {order.reason}"
    set_hold(context, hold)
    if not is_close:
        way = SplitChange.REGARDLESS if order.to is RollbackTarget.CONTROL else SplitChange.BACK
        context.set_traffic(target, is_active=True, promotion_id=promotion.id, way=way)
    reached(FaultPoint.TRAFFIC_SET)
    details = {
        "reason": order.reason,
        "to": order.to.value,
        "split": as_text(target),
        "drift": plan.drift,
        "is_active": plan.is_active,
    }
    context.audit(order.by, Action.ROLL_BACK, promotion.id, details)
    context.notify(
        Event.ROLLBACK,
        "warning" if is_close else "critical",
        promotion.id,
        f"rollback:{promotion.id}",
        RollbackPayload(
            reason=order.reason,
            to=order.to.value,
            split=as_text(plan.split),
            drift=plan.drift or "",
            is_active=plan.is_active,
            winner=promotion.promoted_variant_name,
            rolled_back_by=order.by,
            hold=hold,
        ),
    )
    settle_warnings(context, promotion, order.by, f"rolled back: {order.reason}")
    reached(FaultPoint.BEFORE_COMMIT)
    return reread(context.connection, promotion_from(row))


def _target(context: ActContext, promotion: Promotion, to: RollbackTarget) -> Split:
    """The split to set; variants that did not exist before the promotion get nothing."""
    wanted = _wanted(context, promotion, to)
    gone = _gone(context, wanted)
    if gone:
        recorded = recorded_names(promotion)
        name, missing = context.experiment.name, ", ".join(repr(recorded.get(key, key)) for key in gone)
        others = [other for other in RollbackTarget if not _gone(context, _wanted(context, promotion, other))]
        raise ConflictError(
            f"{name!r}: variant {missing} exists no more (one that was made again is another variant), so its traffic"
            f" cannot be restored; what is left: {' or '.join(_WAYS[other] for other in others)}"
        )
    return {key: wanted.get(key, Decimal("0.00")) for key in context.split}


def _wanted(context: ActContext, promotion: Promotion, to: RollbackTarget) -> Split:
    match to:
        case RollbackTarget.PREVIOUS:
            return split_before(promotion.snapshot)
        case RollbackTarget.CONTROL:
            return {str(promotion.control_variant_id): HUNDRED}
        case RollbackTarget.CLOSE:
            return context.split
        case _ as never:
            assert_never(never)


def _gone(context: ActContext, wanted: Split) -> list[str]:
    return [key for key, share in wanted.items() if share > 0 and key not in context.split]


_WAYS = {
    RollbackTarget.PREVIOUS: "--to previous (the split of before)",
    RollbackTarget.CONTROL: "--to control (all traffic to control)",
    RollbackTarget.CLOSE: "--to close (ends the promotion and leaves the traffic as it stands)",
}


def _nothing(context: ActContext) -> str:
    name = context.experiment.name
    past = promotions_where(context.connection, "experiment_id = %s AND state = 'rolled_back'", [context.experiment.id])
    if not past:
        return f"{name!r} was never promoted: there is nothing to roll back"
    last = past[0]
    assert last.rollback_at is not None
    said = (
        f"{name!r} is rolled back already: {last.promoted_variant_name!r} at"
        f" {last.rollback_at.isoformat(timespec='seconds')} by {last.rolled_back_by} ({last.rollback_reason})"
    )
    delivery = newest_delivery(context.connection, context.experiment.id)
    if delivery is None or delivery.state in {TrafficState.VERIFIED, TrafficState.SUPERSEDED}:
        return said
    return (
        f"{said}; but that split is not served (its delivery is {delivery.state.value}):"
        f" promotion-pipeline traffic overwrite {name!r} --reason TEXT puts it there"
    )
