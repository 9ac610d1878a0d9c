"""What a person does where the decided and the served traffic differ: take theirs, put ours back, or try again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import experiment_name_of, required_text
from promotion_pipeline.promotion.record.queries import live_promotion
from promotion_pipeline.promotion.record.splits import as_text
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    database_errors,
    in_transaction,
    lock_experiment,
    read_experiment,
    store_or_current,
)
from promotion_pipeline.promotion.watch.drift import drift_in
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic.deliveries import SplitChange, TrafficDelivery, TrafficState, newest_delivery, try_again


def adopt_traffic(
    experiment_name: str, adopted_by: str, *, reason: str | None = None, store: Store | None = None
) -> TrafficDelivery:
    """Take the split that somebody else made the target serve as the decided one: a new phase begins.

    A live promotion stays recorded as it is; that the split is not its own any more is drift, as if the split in our
    own table had been changed.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: nothing is in conflict, or theirs has a variant that the experiment has not.
        DependencyError: the database is down.
    """
    why = None if reason is None else required_text(reason, "reason")
    return _settled(experiment_name, adopted_by, store, partial(_adopt, why))


def overwrite_traffic(
    experiment_name: str, reason: str, overwritten_by: str, *, store: Store | None = None
) -> TrafficDelivery:
    """Put the decided split on its way again, over the edit that was found; one made after that is another conflict.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: nothing is in conflict.
        ConfigError: `traffic_target` is none.
        DependencyError: the database is down.
    """
    return _settled(experiment_name, overwritten_by, store, partial(_overwrite, required_text(reason, "reason")))


def is_in_conflict(experiment_name: str, *, store: Store | None = None) -> bool:
    """Whether overwriting means somebody's edit of the target.

    Where the split in our own table is not the promotion's any more either, that comes first: what the promotion set is
    put back there, and then delivered.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    where, name = store_or_current(store), experiment_name_of(experiment_name)
    with where.connect() as connection, database_errors():
        context = read_experiment(connection, where, name)
        delivery, live = (
            newest_delivery(connection, context.experiment.id),
            live_promotion(connection, context.experiment.id),
        )
        is_conflicted = delivery is not None and delivery.state is TrafficState.CONFLICTED
        return is_conflicted and (live is None or drift_in(context, live) is None)


def retry_traffic(
    experiment_name: str, retried_by: str, *, reason: str | None = None, store: Store | None = None
) -> TrafficDelivery:
    """Begin the attempts of the newest delivery anew, whatever stopped them.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: what is decided is served.
        ConfigError: `traffic_target` is none.
        DependencyError: the database is down.
    """
    why = None if reason is None else required_text(reason, "reason")
    return _settled(experiment_name, retried_by, store, partial(_retry, why))


def _settled(
    experiment_name: str, by: str, store: Store | None, act: Callable[[ActContext, str], TrafficDelivery]
) -> TrafficDelivery:
    name, actor, where = experiment_name_of(experiment_name), required_text(by, "by"), store_or_current(store)

    def work(connection: Connection) -> TrafficDelivery:
        return act(lock_experiment(connection, where, name), actor)

    delivery = in_transaction(where, work)
    reached(FaultPoint.AFTER_COMMIT)
    return delivery


def _adopt(reason: str | None, context: ActContext, actor: str) -> TrafficDelivery:
    theirs = _conflict(context).served or {}
    strange = sorted(key for key, share in theirs.items() if share and key not in context.split)
    if strange:
        raise ConflictError(
            f"what is served has {', '.join(map(repr, strange))}, which is no variant of"
            f" {context.experiment.name!r}: add it, or put ours back (promotion-pipeline traffic overwrite)"
        )
    split = {key: theirs.get(key, Decimal(0)) for key in context.split}
    adopted = _set(context, split, SplitChange.ADOPT)
    _note(context, actor, Action.ADOPT_SPLIT, adopted, {"split": as_text(split), "reason": reason})
    return adopted


def _overwrite(reason: str, context: ActContext, actor: str) -> TrafficDelivery:
    theirs = _conflict(context).served or {}
    again = _set(context, context.split, SplitChange.OVERWRITE)
    details = {"reason": reason, "split": as_text(context.split), "overwritten": as_text(theirs)}
    _note(context, actor, Action.OVERWRITE_SPLIT, again, details)
    return again


def _retry(reason: str | None, context: ActContext, actor: str) -> TrafficDelivery:
    delivery = newest_delivery(context.connection, context.experiment.id)
    again = None if delivery is None else try_again(context.connection, delivery)
    if delivery is None or again is None:
        raise ConflictError(f"{context.experiment.name!r}: what is decided is served, there is nothing to try again")
    _note(context, actor, Action.RETRY_DELIVERY, again, {"error": delivery.error, "reason": reason})
    return again


def _conflict(context: ActContext) -> TrafficDelivery:
    delivery = newest_delivery(context.connection, context.experiment.id)
    if delivery is None or delivery.state is not TrafficState.CONFLICTED:
        said = "nothing is delivered" if delivery is None else f"its delivery is {delivery.state.value}"
        raise ConflictError(f"{context.experiment.name!r}: no edit of somebody else's was found ({said})")
    return delivery


def _set(context: ActContext, split: dict[str, Decimal], way: SplitChange) -> TrafficDelivery:
    live = live_promotion(context.connection, context.experiment.id)
    delivery = context.set_traffic(
        split,
        is_active=context.experiment.is_active,
        promotion_id=None if live is None else live.id,
        way=way,
    )
    if delivery is None:
        raise ConflictError(f"{context.experiment.name!r}: the split gives nobody anything")
    return delivery


def _note(context: ActContext, actor: str, action: Action, delivery: TrafficDelivery, details: dict[str, Any]) -> None:
    context.audit(actor, action, delivery.promotion_id, {"delivery": delivery.id, **details})
