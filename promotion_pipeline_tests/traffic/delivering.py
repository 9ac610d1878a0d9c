"""What tests of deliveries share: an experiment with a target, an attempt at once, what became of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.promotion.act.serving import start_clocks
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.deliveries import TrafficDelivery, newest_delivery
from promotion_pipeline.traffic.delivery import attempt
from promotion_pipeline_tests.seeding import WINNER, Seeded, count, seed_experiment
from promotion_pipeline_tests.traffic.provider import TARGET


def seed(store: Store, target: dict[str, Any] | None = None, **more: Any) -> Seeded:
    """An experiment `x` with a winner, served by the provider's flag unless told otherwise."""
    seeded = seed_experiment(store, "x", WINNER, **more)
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb(target or TARGET)])
    return seeded


def once_more(store: Store, seeded: Seeded) -> TrafficDelivery:
    """One attempt without waiting for its time."""
    with store.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET next_attempt_at = clock_timestamp() - interval '1 second'")
    attempt(store, seeded.id, start_clocks)
    return newest(store, seeded.id)


def newest(store: Store, experiment_id: UUID) -> TrafficDelivery:
    """The newest delivery, which must be there."""
    with store.connect() as connection:
        delivery = newest_delivery(connection, experiment_id)
    assert delivery is not None
    return delivery


def told(store: Store, event: str) -> int:
    """How many notifications of this event there are."""
    return count(store, f"SELECT count(*) FROM notification_outbox WHERE event = '{event}'")
