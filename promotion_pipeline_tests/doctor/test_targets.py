"""The doctor on what serves the traffic."""

from __future__ import annotations

import pytest

from promotion_pipeline.doctor import Status
from promotion_pipeline_tests.doctor.conftest import Installation
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, seed_experiment


@pytest.mark.parametrize(
    ("target", "line", "said"),
    [
        ('{"kind": "unlesh"}', "traffic targets", "kind is 'unlesh', it must be one of table, unleash"),
        (
            '{"kind": "unleash", "project": "p", "feature": "f", "environment": "e"}',
            "target unleash",
            "set AUTO_PROMOTION_UNLEASH_URL and AUTO_PROMOTION_UNLEASH_TOKEN",
        ),
    ],
)
def test_a_target_that_cannot_be_read(installation: Installation, target: str, line: str, said: str) -> None:
    seed_experiment(installation.store, "x", NO_DIFFERENCE)
    installation.execute(f"UPDATE ab_experiments SET traffic_target = '{target}' WHERE is_active")
    found = installation.finding(line)
    assert found.status is Status.PROBLEM
    assert said in f"{found.message} {found.fix}"


def test_each_kind_of_target_that_serves_anything_has_a_line(installation: Installation) -> None:
    seed_experiment(installation.store, "x", NO_DIFFERENCE)
    installation.execute("""UPDATE ab_experiments SET traffic_target = '{"kind": "ofrep", "flag": "f"}'""")
    lines = {found.name for found in installation.examined().findings}
    assert "target ofrep" in lines
    assert not lines & {"target unleash", "target flagd", "target webhook"}


def test_two_running_experiments_on_one_flag(installation: Installation) -> None:
    for name in ("x", "y"):
        seed_experiment(installation.store, name, NO_DIFFERENCE)
    with installation.store.connect() as connection, connection.transaction():
        # As it was before this was refused, or came by replication.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("""UPDATE ab_experiments SET traffic_target = '{"kind": "ofrep", "flag": "f"}'""")
    assert "'x' and 'y' are served in the same place" in installation.finding("traffic targets").message


def test_a_split_that_is_decided_and_not_served(installation: Installation) -> None:
    seed_experiment(installation.store, "x", NO_DIFFERENCE)
    installation.execute(
        "INSERT INTO traffic_deliveries (experiment_id, generation, target, wanted, state, error)"
        " SELECT id, 1, 'unleash', '{}', 'failed', 'Unleash answered HTTP 503' FROM ab_experiments LIMIT 1"
    )
    found = installation.finding("served traffic")
    assert found.status is Status.PROBLEM
    assert "failed: Unleash answered HTTP 503" in found.message
    assert found.fix == "promotion-pipeline traffic retry x"
    installation.execute("UPDATE traffic_deliveries SET state = 'conflicted'")
    ways = "promotion-pipeline traffic adopt x or promotion-pipeline traffic overwrite x --reason '...'"
    assert installation.finding("served traffic").fix == ways
