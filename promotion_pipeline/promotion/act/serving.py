"""From decided to served: the lifecycle's side of deliveries, and what an act can say of its own."""

from __future__ import annotations

import logging
from uuid import UUID

import psycopg

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.transaction import store_or_current
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic import deliveries, telling
from promotion_pipeline.traffic.deliveries import TrafficDelivery
from promotion_pipeline.traffic.delivery import PATIENCE_SECONDS, apply_deliveries, deliver_now
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE

log = logging.getLogger(__name__)


def deliver_due(store: Store) -> tuple[TrafficDelivery, ...]:
    """Try once every delivery that is due.

    Raises:
        DependencyError: the database is down.
    """
    return apply_deliveries(store, start_clocks)


def due_deliveries(store: Store) -> tuple[TrafficDelivery, ...]:
    """What `deliver_due` would try now. Writes nothing.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        return tuple(deliveries.due_deliveries(connection, store.settings))


def is_any_late_and_untold(store: Store) -> bool:
    """Whether somebody is to be told that a split takes too long, whoever is to bring it there. Writes nothing.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        return telling.is_any_late_and_untold(connection)


def wait_until_served(
    store: Store, experiment_id: UUID, patience_seconds: float = PATIENCE_SECONDS
) -> TrafficDelivery | None:
    """Deliver what an act on this experiment decided, for at most so long; the delivery as it is then.

    Raises:
        DependencyError: the database is down; what was decided stands, and the next tick delivers it.
    """
    return deliver_now(store, experiment_id, start_clocks, patience_seconds)


def served_or_said(done: Promotion | TrafficDelivery, store: Store | None = None) -> TrafficDelivery | None:
    """`wait_until_served` after an act that is done: whatever goes wrong now is not the act's error."""
    try:
        return wait_until_served(store_or_current(store), done.experiment_id)
    except (DependencyError, psycopg.Error):
        log.exception("the traffic of experiment %s: the next tick delivers it", done.experiment_id)
        return None


def start_clocks(connection: Connection, delivery: TrafficDelivery) -> None:
    """The ramp's hold and the watch count from the moment in which users are served what was decided."""
    connection.execute(
        "UPDATE experiment_promotions SET step_started_at = %s WHERE id = %s AND state IN ('ramping', 'promoted')",
        [delivery.verified_at, delivery.promotion_id],
    )


def delivery_sentence(delivery: TrafficDelivery | None) -> str | None:
    """What is to be said of a delivery after an act; None: the act itself served the traffic."""
    if delivery is None or delivery.target in SERVED_FROM_OUR_DATABASE:
        return None
    match delivery.state.value:
        case "verified":
            return f"served: {delivery.target} says so"
        case "conflicted":
            ways = "promotion-pipeline traffic overwrite puts what was decided there, traffic adopt takes theirs over"
            return f"NOT SERVED (conflicted): {delivery.error}: {ways}"
        case "failed":
            return f"NOT SERVED (failed): {delivery.error}: once mended, promotion-pipeline traffic retry"
    why = f" ({delivery.error})" if delivery.error else ""
    return f"decided, and not served yet{why}: it is tried again by itself; see promotion-pipeline traffic"
