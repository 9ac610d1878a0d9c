"""The end of what a promotion with warnings began: nobody needs to look any more."""

from __future__ import annotations

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.payload import WarningsSettledPayload
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.inputs import experiment_name_of, required_text
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    in_transaction,
    lock_experiment,
    store_or_current,
)
from promotion_pipeline.store.database import Connection, Store


def acknowledge_warnings(
    experiment_name: str, acknowledged_by: str, reason: str, *, store: Store | None = None
) -> Promotion:
    """Say that the warnings beside the newest promotion of an experiment were looked at; ends its incident.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: its newest promotion told of no warnings, or they are settled already.
        InputError: a value is empty.
        DependencyError: the database is down.
    """
    name = experiment_name_of(experiment_name)
    actor, why = required_text(acknowledged_by, "acknowledged_by"), required_text(reason, "reason")
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        past = promotions_where(connection, "experiment_id = %s AND state <> 'shadow'", [context.experiment.id])
        if not past or not settle_warnings(context, past[0], actor, why):
            raise ConflictError(f"the newest promotion of {name!r} has no warnings that wait for somebody to look")
        context.audit(actor, Action.ACKNOWLEDGE_WARNINGS, past[0].id, {"reason": why})
        return past[0]

    return in_transaction(where, act)


def settle_warnings(context: ActContext, promotion: Promotion, by: str, reason: str) -> bool:
    """End the incident of a promotion with warnings, once; False: there is none. The caller holds the lock."""
    opened = context.connection.execute(
        "SELECT 1 FROM notification_outbox WHERE promotion_id = %s AND event = %s",
        [promotion.id, Event.PROMOTION_WITH_WARNINGS],
    ).fetchone()
    if opened is None:
        return False
    payload = WarningsSettledPayload(settled_by=by, reason=reason)
    return context.notify(Event.WARNINGS_SETTLED, "info", promotion.id, f"warnings_settled:{promotion.id}", payload)
