"""The sums of metrics are held against the requests and events that they were made of."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import numpy as np
import pytest

from promotion_pipeline.orchestration.checks import ROLLUP_CHECKS, Window
from promotion_pipeline.rollups.metrics.conserved import MetricCount, unbalanced_metrics
from promotion_pipeline.rollups.postgresql.forgetting import forget_user
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.metric_sums import END, HOUR, START, add_events, add_requests, seed
from promotion_pipeline_tests.seeding import Seeded

AT = START + 3 * HOUR


@pytest.fixture
def shop(store: Store, connection: Connection) -> Seeded:
    """Three hundred requests and four hundred events of all kinds of metrics, in two phases, summed up."""
    seeded, rng = seed(store, "shop"), np.random.default_rng(3)
    add_requests(connection, seeded, rng, 300, 25)
    add_events(connection, [seeded.id] * 2, rng, 0, 400, 25)
    rollup_window(store, START, END)
    return seeded


def _found(store: Store) -> list[tuple[str, int, bool]]:
    return [(one.metric, one.source_samples - one.counted_samples, one.is_late) for one in _unbalanced(store)]


def _unbalanced(store: Store) -> list[MetricCount]:
    return unbalanced_metrics(store, START, END)


def _answer(store: Store) -> dg.AssetCheckResult:
    return ROLLUP_CHECKS["metric_sums_are_conserved"].ask(store, Window(START, END))


def test_sums_of_all_kinds_are_those_of_their_rows_and_a_lost_event_or_cent_is_found(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    assert _unbalanced(store) == []
    assert _answer(store).passed
    change = (
        "UPDATE hourly_metric_rollups SET {0} WHERE ctid = (SELECT ctid FROM hourly_metric_rollups"
        " WHERE metric = %s AND samples > 0 AND hour >= %s ORDER BY hour LIMIT 1)"
    )
    connection.execute(change.format("samples = samples - 1"), ("purchases", AT))
    connection.execute(change.format("value_sum = value_sum + 0.01"), ("value", AT))
    connection.execute(change.format("samples = samples + 1"), ("failed", AT))
    # Under a cap on users' totals values do not add up; how many they were does.
    connection.execute(change.format("value_sum = value_sum + 1"), ("revenue", AT))
    assert sorted(_found(store)) == [("failed", -1, False), ("purchases", 1, False), ("value", 0, False)]
    (value,) = (one for one in _unbalanced(store) if one.metric == "value")
    assert value.counted_value == pytest.approx(value.source_value + 0.01)
    answer = _answer(store)
    assert (answer.passed, answer.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert answer.description is not None and answer.description.startswith("In 3 hours of metrics the sums are not")


def test_rows_that_came_since_are_late_until_the_next_run(store: Store, connection: Connection, shop: Seeded) -> None:
    connection.execute(
        "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)"
        " SELECT gen_random_uuid(), experiment_id, user_id, %s, 'purchase', 5 FROM ai_requests"
        " WHERE user_id IS NOT NULL AND created_at < %s LIMIT 1",
        (AT + timedelta(minutes=30), AT),
    )
    assert _found(store) == [("buyers", 1, True), ("purchases", 1, True), ("revenue", 1, True)]
    connection.execute(
        "INSERT INTO ai_requests (experiment_id, variant_id, created_at, latency_ms) VALUES (%s, %s, %s, 7)",
        (shop.id, shop.variant_ids["control"], AT),
    )
    assert ("latency", 1, True) in _found(store)
    assert _answer(store).severity is dg.AssetCheckSeverity.WARN
    rollup_window(store, START, END)
    assert _unbalanced(store) == []


def test_a_user_who_was_forgotten_and_a_metric_that_joined_are_not_taken_for_lost_rows(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    forget_user(store, "user 3")
    connection.execute(
        "UPDATE ab_experiments SET promotion_config = jsonb_set(promotion_config, '{metrics,0,name}', '\"new\"')"
        " WHERE id = %s",
        (shop.id,),
    )
    assert _unbalanced(store) == []
