"""Two experiments on one flag are refused where they are configured, whoever writes the row."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import VariantSpec, count, seed_experiment
from promotion_pipeline_tests.traffic.provider import TARGET

OFREP = {"kind": "ofrep", "flag": "checkout"}
HOOK = {"kind": "webhook", "url": "https://example.com/split"}
BARE = (VariantSpec("control", is_control=True), VariantSpec("treatment"))


def configure(store: Store, name: str, target: dict[str, Any] | None) -> None:
    """What a team's own application does."""
    with store.connect() as connection:
        connection.execute(
            "UPDATE ab_experiments SET traffic_target = %s WHERE name = %s", [target and Jsonb(target), name]
        )


@pytest.fixture
def two(store: Store) -> Store:
    """Two running experiments, x and y."""
    for name in ("x", "y"):
        seed_experiment(store, name, BARE)
    return store


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TARGET, TARGET),
        ({**TARGET, "strategy_id": "s1"}, TARGET),
        (OFREP, OFREP),
        (OFREP, {**OFREP, "kind": "flagd"}),
        ({**HOOK, "read_url": "https://example.com/read"}, {**HOOK, "read_url": "https://example.com/read"}),
    ],
)
def test_the_second_is_refused_and_told_what_to_do(two: Store, first: dict[str, Any], second: dict[str, Any]) -> None:
    configure(two, "x", first)
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        configure(two, "y", second)
    assert "'y' cannot be served where 'x' is served already" in str(refused.value)
    assert refused.value.diag.message_hint is not None
    assert "promotion-pipeline rollback 'x' --to close" in refused.value.diag.message_hint
    assert "example.com" not in str(refused.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**TARGET, "strategy_id": "s1"}, {**TARGET, "strategy_id": "s2"}),
        (TARGET, {**TARGET, "environment": "staging"}),
        (OFREP, {**OFREP, "flag": "another"}),
        (HOOK, HOOK),
        ({"kind": "table"}, {"kind": "table"}),
        ({"kind": "nonsense"}, {"kind": "nonsense"}),
    ],
)
def test_what_does_not_meet_is_taken(two: Store, first: dict[str, Any], second: dict[str, Any]) -> None:
    configure(two, "x", first)
    configure(two, "y", second)
    assert count(two, "SELECT count(*) FROM ab_experiments WHERE traffic_target IS NOT NULL") == 2


def test_a_flag_is_used_again_once_the_last_experiment_is_over(store: Store) -> None:
    seed_experiment(store, "x")
    configure(store, "x", OFREP)
    promote_winner("x", "manual", "anna", store=store)
    seed_experiment(store, "y", BARE)
    with pytest.raises(psycopg.errors.UniqueViolation):
        configure(store, "y", OFREP)
    rollback_promotion("x", "shipped", "anna", to="close", store=store)
    configure(store, "y", OFREP)
    with store.connect() as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("UPDATE ab_experiments SET is_active = true WHERE name = 'x'")


def test_flags_are_swapped_in_one_statement(two: Store) -> None:
    configure(two, "x", OFREP)
    configure(two, "y", {**OFREP, "flag": "another"})
    with two.connect() as connection:
        connection.execute(
            "UPDATE ab_experiments e SET traffic_target = (SELECT traffic_target FROM ab_experiments o"
            " WHERE o.id <> e.id)"
        )
    assert count(two, "SELECT count(DISTINCT traffic_target) FROM ab_experiments") == 2


def test_two_that_are_configured_at_the_same_moment_do_not_both_get_the_flag(two: Store) -> None:
    refused: list[str] = []

    def second() -> None:
        try:
            configure(two, "y", OFREP)
        except psycopg.errors.UniqueViolation as error:
            refused.append(str(error))

    with two.connect() as connection, connection.transaction():
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE name = 'x'", [Jsonb(OFREP)])
        other = threading.Thread(target=second)
        other.start()
        other.join(0.3)
        assert other.is_alive()
    other.join(10)
    assert len(refused) == 1


def test_the_way_back_is_never_refused_for_a_flag_that_was_shared_before(store: Store) -> None:
    seed_experiment(store, "x")
    configure(store, "x", OFREP)
    promote_winner("x", "manual", "anna", store=store)
    seed_experiment(store, "y", BARE)
    with store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE name = 'y'", [Jsonb(OFREP)])
    assert rollback_promotion("x", "worse", "anna", store=store).state == "rolled_back"
