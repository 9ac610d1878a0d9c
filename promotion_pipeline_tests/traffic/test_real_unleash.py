"""Against a real unleash-server: what is promoted is what its users get, and nothing else of the flag changes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.act.reconciling import overwrite_traffic
from promotion_pipeline.promotion.act.serving import wait_until_served
from promotion_pipeline.promotion.unattended.comparing import compare_traffic
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline_tests.seeding import WINNER, seed_experiment
from promotion_pipeline_tests.traffic.outside import NODE, UNLEASH, NotHereError, node_packages
from promotion_pipeline_tests.traffic.provider import TOKEN
from promotion_pipeline_tests.traffic.unleash_server import UnleashServer, unleash_at_work

USERS = [f"user-{number}" for number in range(1_000)]


@pytest.fixture(scope="module")
def unleash(server: EmbeddedServer) -> Iterator[UnleashServer]:
    try:
        node_packages(UNLEASH)
        node_packages(NODE)
    except NotHereError as error:
        pytest.skip(f"the real unleash-server is not run: {error}")
    create_database(server.url("postgres"), "unleash")
    with unleash_at_work(server.url("unleash")) as at_work:
        yield at_work


def delivered(store: Store, experiment_id: UUID) -> TrafficState:
    delivery = wait_until_served(store, experiment_id)
    assert delivery is not None
    return delivery.state


def weights(strategy: dict[str, Any]) -> dict[str, int]:
    return {variant["name"]: variant["weight"] for variant in strategy["variants"]}


def others(unleash: UnleashServer, feature: str) -> tuple[str, str]:
    """Everything of a flag but the variants of its first strategy, as text; the other environment byte for byte."""
    first, *rest = unleash.strategies(feature)
    return json.dumps([{**first, "variants": None}, *rest]), unleash.text(feature, "development")


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "Unleash's clients were not given what was written"
        time.sleep(0.3)


def test_a_ramp_and_its_rollback_reach_the_users_of_unleashs_own_client_and_change_nothing_but_weights(
    store: Store, unleash: UnleashServer
) -> None:
    unleash.make_flag("checkout", {"control": 500, "treatment": 500})
    known = {"unleash_url": unleash.url, "unleash_token": SecretStr(TOKEN)}
    served = Store(store.url, store.settings.model_copy(update=known))
    seeded = seed_experiment(served, "x", WINNER, promotion_config={"rampSteps": [75, 100]})
    with served.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb(unleash.target("checkout"))])
    before, rest = unleash.text("checkout"), others(unleash, "checkout")
    was_served = unleash.served("checkout", USERS)
    assert Counter(was_served).keys() == {"control", "treatment"}
    promote_winner("x", "manual", "anna", store=served)
    assert delivered(served, seeded.id) is TrafficState.VERIFIED
    assert weights(unleash.strategies("checkout")[0]) == {"control": 250, "treatment": 750}
    # Unleash gives its clients what it read up to a second before.
    wait_for(lambda: unleash.served("checkout", USERS) != was_served)
    ramped = Counter(unleash.served("checkout", USERS))
    assert ramped.keys() == {"control", "treatment"}
    assert abs(ramped["treatment"] - 0.75 * len(USERS)) < 3 * (0.75 * 0.25 * len(USERS)) ** 0.5
    advance_ramp("x", "anna", store=served)
    assert delivered(served, seeded.id) is TrafficState.VERIFIED
    assert weights(unleash.strategies("checkout")[0]) == {"control": 0, "treatment": 1000}
    assert others(unleash, "checkout") == rest
    wait_for(lambda: Counter(unleash.served("checkout", USERS)) != ramped)
    assert set(unleash.served("checkout", USERS)) == {"treatment"}
    assert set(unleash.served("checkout", USERS, country="DE")) == {"off"}
    assert set(unleash.served("checkout", USERS, plan="free")) == {"off"}
    rollback_promotion("x", "worse", "anna", store=served)
    assert delivered(served, seeded.id) is TrafficState.VERIFIED
    assert unleash.text("checkout") == before
    assert others(unleash, "checkout") == rest
    wait_for(lambda: set(unleash.served("checkout", USERS)) != {"treatment"})
    assert unleash.served("checkout", USERS) == was_served


def test_an_edit_in_its_ui_is_found_and_named(store: Store, unleash: UnleashServer) -> None:
    unleash.make_flag("edited", {"control": 500, "treatment": 500})
    known = {"unleash_url": unleash.url, "unleash_token": SecretStr(TOKEN)}
    served = Store(store.url, store.settings.model_copy(update=known))
    seeded = seed_experiment(served, "x", WINNER)
    with served.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb(unleash.target("edited"))])
    control, treatment = unleash.strategies("edited")[0]["variants"]
    unleash.edit("edited", [{**control, "weight": 900, "weightType": "fix"}, treatment])
    promote_winner("x", "manual", "anna", store=served)
    delivery = wait_until_served(served, seeded.id)
    assert delivery is not None
    assert delivery.state is TrafficState.CONFLICTED
    assert "control 90 %" in (delivery.error or "")
    assert "changed last by admin" in (delivery.error or "")
    assert weights(unleash.strategies("edited")[0]) == {"control": 900, "treatment": 100}
    # Hours after it was served: one comparison finds the next edit.
    overwrite_traffic("x", "a mistake", "anna", store=served)
    wait_until_served(served, seeded.id)
    with served.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET verified_at = verified_at - interval '3 hours'")
    (found,) = compare_traffic(served)
    assert (found.state, found.served, found.problem) == (TrafficState.VERIFIED, found.decided, None)
    control, treatment = unleash.strategies("edited")[0]["variants"]
    unleash.edit("edited", [{**control, "weight": 250, "weightType": "fix"}, {**treatment, "weightType": "variable"}])
    (found,) = compare_traffic(served)
    assert found.state is TrafficState.CONFLICTED
    for said in ("control 25 %", "changed last by admin", "control 0 %, treatment 100 %"):
        assert said in (found.problem or "")
