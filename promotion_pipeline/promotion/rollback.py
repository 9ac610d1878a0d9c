"""The way back: the split of before, or everything to control; the experiment runs again, on hold."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from promotion_pipeline.errors import ConflictError, NothingToRollBackError, SplitDriftError
from promotion_pipeline.promotion.acts import Scene, chosen, in_transaction, lock_experiment
from promotion_pipeline.promotion.events import Action, Event
from promotion_pipeline.promotion.faults import FaultPoint, reached
from promotion_pipeline.promotion.inputs import choice, experiment_name_of, required_text
from promotion_pipeline.promotion.models import Promotion
from promotion_pipeline.promotion.records import live_promotion, promotion_from, promotions_where, reread
from promotion_pipeline.promotion.snapshot import split_before, split_of_step
from promotion_pipeline.promotion.splits import HUNDRED, Split, as_text
from promotion_pipeline.promotion.states import PromotionState
from promotion_pipeline.promotion.warnings import settle_warnings
from promotion_pipeline.store.database import Connection, Store


class RollbackTarget(StrEnum):
    """Where the traffic goes."""

    PREVIOUS = "previous"
    """The split of before the promotion, to the cent."""
    CONTROL = "control"
    """All to control: the emergency form."""


@dataclass(frozen=True)
class Reversal:
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
    `release_hold`: otherwise the next hour would promote the same variant again.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        reason: why; kept in the history and in the hold.
        rolled_back_by: who; kept in the history.
        to: `previous` restores the split of before the promotion, `control` gives control all traffic.
        confirm_drift: overwrite a split that somebody else changed since the promotion.
        store: the database; default that of the environment.

    Returns:
        The promotion's record as it is now, state `rolled_back`.

    Raises:
        NotFoundError: no experiment has this name.
        NothingToRollBackError: it was never promoted, or is rolled back already.
        SplitDriftError: somebody else changed the split or restarted the experiment since.
        ConflictError: a variant of the split of before exists no more.
        InputError: a value is empty or unknown.
        DependencyError: the database is down.

    >>> rolled_back = rollback_promotion("reality-lens-v2", "Increased error rate detected", "user-123")
    >>> print(rolled_back.state.value, rolled_back.rollback_reason)
    rolled_back Increased error rate detected
    """
    name = experiment_name_of(experiment_name)
    reversal = Reversal(
        reason=required_text(reason, "reason"),
        by=required_text(rolled_back_by, "rolled_back_by"),
        to=choice(RollbackTarget, to, "to"),
        confirm_drift=confirm_drift,
    )
    where = chosen(store)

    def act(connection: Connection) -> Promotion:
        scene = lock_experiment(connection, where, name)
        promotion = live_promotion(connection, scene.experiment.id)
        if promotion is None:
            raise NothingToRollBackError(_nothing(scene))
        return roll_back(scene, promotion, reversal)

    rolled_back = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return rolled_back


@dataclass(frozen=True)
class RollbackPreview:
    """What a rollback would do."""

    split: dict[str, str]
    """Percent of traffic by variant name."""
    drift: str | None
    """What somebody else changed, and it would overwrite; None: nothing."""


def preview_rollback(
    experiment_name: str,
    *,
    to: RollbackTarget | str = RollbackTarget.PREVIOUS,
    confirm_drift: bool = False,
    store: Store | None = None,
) -> RollbackPreview:
    """What `rollback_promotion` would do now; changes nothing.

    Raises:
        PromotionError: what `rollback_promotion` would raise.
    """
    name, target, where = experiment_name_of(experiment_name), choice(RollbackTarget, to, "to"), chosen(store)

    def look(connection: Connection) -> RollbackPreview:
        scene = lock_experiment(connection, where, name)
        promotion = live_promotion(connection, scene.experiment.id)
        if promotion is None:
            raise NothingToRollBackError(_nothing(scene))
        drift = _confirmed_drift(scene, promotion, confirm_drift)
        split = as_text(_target(scene, promotion, target))
        ordered = sorted(scene.variants, key=lambda variant: (not variant.is_control, variant.name))
        return RollbackPreview({variant.name: split[str(variant.id)] for variant in ordered}, drift)

    return in_transaction(where, look)


def roll_back(scene: Scene, promotion: Promotion, reversal: Reversal) -> Promotion:
    """Roll a live promotion back; the caller holds the lock.

    Raises:
        SplitDriftError, ConflictError: as `rollback_promotion`.
    """
    reached(FaultPoint.LOCKED)
    drift = _confirmed_drift(scene, promotion, reversal.confirm_drift)
    target = _target(scene, promotion, reversal.to)
    row = scene.connection.execute(
        "UPDATE experiment_promotions SET state = %s, rollback_at = %s, rollback_reason = %s, rolled_back_by = %s"
        " WHERE id = %s RETURNING *",
        [PromotionState.ROLLED_BACK, scene.at, reversal.reason, reversal.by, promotion.id],
    ).fetchone()
    assert row is not None
    reached(FaultPoint.RECORD_WRITTEN)
    hold = f"rolled back by {reversal.by}: {reversal.reason}"
    scene.connection.execute(
        "UPDATE ab_experiments SET auto_promotion_hold = %s WHERE id = %s", [hold, scene.experiment.id]
    )
    scene.set_traffic(target, is_active=True)
    reached(FaultPoint.TRAFFIC_SET)
    details = {"reason": reversal.reason, "to": reversal.to.value, "split": as_text(target), "drift": drift}
    scene.audit(reversal.by, Action.ROLL_BACK, promotion.id, details)
    scene.notify(
        Event.ROLLBACK,
        "critical",
        promotion.id,
        f"rollback:{promotion.id}",
        {**details, "winner": promotion.promoted_variant_name, "rolled_back_by": reversal.by, "hold": hold},
    )
    settle_warnings(scene, promotion, reversal.by, f"rolled back: {reversal.reason}")
    reached(FaultPoint.BEFORE_COMMIT)
    return reread(scene.connection, promotion_from(row))


def _confirmed_drift(scene: Scene, promotion: Promotion, is_confirmed: bool) -> str | None:
    drift = drift_of(scene, promotion)
    if drift and not is_confirmed:
        raise SplitDriftError(
            f"{scene.experiment.name!r}: {drift}; a rollback would overwrite that: confirm it (--overwrite-split,"
            " confirmDrift), or undo the change first"
        )
    return drift


def drift_of(scene: Scene, promotion: Promotion) -> str | None:
    """What somebody else changed since the promotion set the traffic; None: nothing."""
    expected = split_of_step(promotion.snapshot, promotion.ramp_step)
    names = {str(variant.id): variant.name for variant in scene.variants}
    changes = [
        f"{names.get(key, key)!r} has {_percent(scene.split.get(key))}, the promotion set {_percent(expected.get(key))}"
        for key in sorted(scene.split.keys() | expected.keys(), key=lambda key: names.get(key, key))
        if scene.split.get(key, Decimal(0)) != expected.get(key, Decimal(0)) or (key in expected and key not in names)
    ]
    if scene.experiment.is_active:
        changes.append("the experiment was started again")
    return "somebody else changed the traffic since the promotion: " + ", ".join(changes) if changes else None


def _percent(share: Decimal | None) -> str:
    return "no entry" if share is None else f"{share:.2f} %"


def _target(scene: Scene, promotion: Promotion, to: RollbackTarget) -> Split:
    """The split to set; variants that did not exist before the promotion get nothing."""
    match to:
        case RollbackTarget.PREVIOUS:
            wanted = split_before(promotion.snapshot)
        case RollbackTarget.CONTROL:
            wanted = {str(promotion.control_variant_id): HUNDRED}
        case _ as never:
            assert_never(never)
    gone = [key for key, share in wanted.items() if share > 0 and key not in scene.split]
    if gone:
        recorded = {row["variant_id"]: row["variant_name"] for row in promotion.snapshot["variants"]}
        raise ConflictError(
            f"{scene.experiment.name!r}: variant {', '.join(repr(recorded.get(key, key)) for key in gone)} exists no"
            " more, so its traffic cannot be restored; "
            + ("roll back to control instead" if to is RollbackTarget.PREVIOUS else "roll back to the previous split")
        )
    return {key: wanted.get(key, Decimal("0.00")) for key in scene.split}


def _nothing(scene: Scene) -> str:
    name = scene.experiment.name
    past = promotions_where(scene.connection, "experiment_id = %s AND state = 'rolled_back'", [scene.experiment.id])
    if not past:
        return f"{name!r} was never promoted: there is nothing to roll back"
    last = past[0]
    assert last.rollback_at is not None
    return (
        f"{name!r} is rolled back already: {last.promoted_variant_name!r} at"
        f" {last.rollback_at.isoformat(timespec='seconds')} by {last.rolled_back_by} ({last.rollback_reason})"
    )
