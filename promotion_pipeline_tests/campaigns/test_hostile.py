"""One row, one config, one experiment stops nobody else."""

from __future__ import annotations

from datetime import datetime

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.hostile.drawing import HostileExperiment, HostileRequest, Whose, random_text
from promotion_pipeline_tests.hostile.rounds import HostileRounds, draw, run_rounds
from promotion_pipeline_tests.orchestration.conftest import Stage, dagster_template, stage
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment

__all__ = ["dagster_template", "stage"]


def hostile(name: str, start_date: str = "lately", config: str | None = None, **changes: str) -> HostileExperiment:
    values: dict[str, str | None] = {"user_id": "user 1", "latency_ms": "10", "value": "1"}
    values |= changes
    row = HostileRequest(Whose.OWN, Whose.OWN, at=-90, is_error=False, converted=True, **values)
    return HostileExperiment(name, True, start_date, None, config, (True, False), (row,) * 3)


DATES = ["-infinity", "infinity", "0001-01-01 00:00:00+00", "20000-01-01 00:00:00+00", "1970-01-01 00:00:00+00"]
CONFIGS = ['{"min_sample_size": 1e400}', "1e5000", "[" * 1_500 + "]" * 1_500, "null"]
KNOWN = [
    *(hostile(f"starts {at}", start_date=at) for at in DATES),
    *(hostile(f"config {number}", config=config) for number, config in enumerate(CONFIGS)),
    hostile("long id", user_id=random_text(1, 3_000)),
    hostile("huge latency", latency_ms="1e200"),
    hostile("huge value", value="1e200"),
    hostile("value beyond every double", value="1e1000"),
    hostile("vanishing", latency_ms="1e-300", value="1e-1000"),
    hostile("no number", latency_ms="NaN", value="NaN"),
]


@pytest.fixture(scope="module")
def rounds(server: EmbeddedServer) -> HostileRounds:
    return HostileRounds(server, Settings(home=server.home), TEMPLATE)


def test_what_once_stopped_the_hourly_run_stops_nobody(rounds: HostileRounds) -> None:
    rounds.meet(KNOWN)
    assert rounds.written == len(KNOWN)


def test_hostile_experiments_beside_sound_ones_affect_nobody(rounds: HostileRounds) -> None:
    """The short form of `python -m promotion_pipeline_tests.hostile`."""
    run_rounds(rounds, draw(100), 100)


@pytest.mark.parametrize("start_date", DATES)
def test_a_start_that_cannot_be_used_is_an_error_with_its_reason(store: Store, start_date: str) -> None:
    seed_experiment(store, "strange", WINNER)
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET start_date = %s::timestamptz", [start_date])
    (answer,) = assess(store, ["strange"])
    assert answer.verdict == "error"
    assert "start_date" in " ".join(answer.reasons)


def test_an_early_start_makes_no_hours_of_decades(store: Store) -> None:
    with store.connect() as connection:
        connection.execute("INSERT INTO ab_experiments (name, start_date) VALUES ('old', '1970-01-01')")
        connection.execute(
            "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
            " SELECT id, arm, arm = 'a', 50 FROM ab_experiments, unnest('{a,b}'::text[]) AS arm"
        )
        newest = connection.execute("SELECT date_trunc('hour', now(), 'UTC') AS at").fetchone()
    assert newest is not None
    at: datetime = newest["at"]
    from promotion_pipeline.rollups.catching_up import roll_up_missing

    roll_up_missing(store, at)
    assert count(store, "SELECT count(*) FROM rollup_hours") < 1_000


def test_the_real_job_goes_through_with_all_of_them(stage: Stage) -> None:
    from promotion_pipeline_tests.hostile.world import SOUND, write_hostile

    for name in SOUND:
        seed_experiment(stage.store, name, WINNER)
    write_hostile(stage.store, stage.newest, KNOWN)
    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    decided = (
        "SELECT count(*) FROM eligibility_decisions d JOIN ab_experiments e ON e.id = d.experiment_id"
        " WHERE e.name = ANY(%s) AND d.is_eligible"
    )
    assert count(stage.store, decided, list(SOUND)) == len(SOUND)
