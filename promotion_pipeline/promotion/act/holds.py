"""Holds: an experiment that is not promoted unattended until somebody says so."""

from __future__ import annotations

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.payload import HoldReleasedPayload
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import experiment_name_of, required_text
from promotion_pipeline.promotion.record.models import Hold
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    in_transaction,
    lock_experiment,
    store_or_current,
)
from promotion_pipeline.store.database import Connection, Store


def release_hold(
    experiment_name: str, released_by: str, *, reason: str | None = None, store: Store | None = None
) -> Hold:
    """Let an experiment be promoted unattended again.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        released_by: who; kept in the audit.
        reason: why; kept in the audit.
        store: the database; default that of the environment.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: it is not on hold.
        InputError: `released_by` is empty.
        DependencyError: the database is down.

    >>> release_hold("reality-lens-v2", "user-123", reason="fixed in 1.2.3").hold is None
    True
    """
    name = experiment_name_of(experiment_name)
    actor = required_text(released_by, "released_by")
    why = None if reason is None else required_text(reason, "reason")
    where = store_or_current(store)

    def act(connection: Connection) -> Hold:
        context = lock_experiment(connection, where, name)
        before = context.experiment.hold
        if before is None:
            raise ConflictError(f"{name!r} is not on hold: there is nothing to release")
        past = promotions_where(connection, "experiment_id = %s AND state = 'rolled_back'", [context.experiment.id])
        promotion_id = past[0].id if past else None
        details = {"hold": before, "reason": why}
        context.audit(actor, Action.RELEASE_HOLD, promotion_id, details)
        payload = HoldReleasedPayload(hold=before, reason=why or "", released_by=actor)
        key = f"hold_released:{context.experiment.id}:{context.at.isoformat()}"
        context.notify(Event.HOLD_RELEASED, "info", promotion_id, key, payload)
        return _set(context, None, actor)

    released = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return released


def hold_promotion(experiment_name: str, reason: str, held_by: str, *, store: Store | None = None) -> Hold:
    """Keep an experiment from being promoted unattended; it also pauses a ramp.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: it is on hold already.
        InputError: a value is empty.
        DependencyError: the database is down.
    """
    name = experiment_name_of(experiment_name)
    why, actor = required_text(reason, "reason"), required_text(held_by, "held_by")
    where = store_or_current(store)

    def act(connection: Connection) -> Hold:
        context = lock_experiment(connection, where, name)
        if context.experiment.hold is not None:
            raise ConflictError(f"{name!r} is on hold already: {context.experiment.hold}")
        hold = f"held by {actor}: {why}"
        context.audit(actor, Action.HOLD, None, {"reason": why, "hold": hold})
        return _set(context, hold, actor)

    held = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return held


def set_hold(context: ActContext, hold: str | None) -> None:
    """Write why automatic promotion is on hold; None: it is not. The caller holds the lock."""
    context.connection.execute(
        "UPDATE ab_experiments SET auto_promotion_hold = %s WHERE id = %s", [hold, context.experiment.id]
    )


def _set(context: ActContext, hold: str | None, actor: str) -> Hold:
    set_hold(context, hold)
    return Hold(experiment_name=context.experiment.name, hold=hold, changed_by=actor, changed_at=context.at)
