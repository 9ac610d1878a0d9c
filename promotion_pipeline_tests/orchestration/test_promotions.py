"""From a decision to changed traffic: sensor, apply job, the jobs of the Launchpad, and what the UI is told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.test_utils import create_run_for_test

from promotion_pipeline.config import Mode
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.in_process import RunFailedError
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.sensors import pending_run
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, seed_experiment, split_of

PROMOTIONS = dg.AssetKey("experiment_promotions")


def told(instance: dg.DagsterInstance) -> list[str]:
    """What happened, as the UI shows it, oldest first."""
    records = instance.fetch_materializations(PROMOTIONS, limit=100).records
    return [
        str(record.asset_materialization.metadata["action"].value)
        for record in reversed(records)
        if record.asset_materialization
    ]


def tick_of_acts(stage: Stage, cursor: str | None = None) -> SensorExecutionData:
    sensor = build_definitions(resource_overrides={"store": StoreResource(stage.store)}).resolve_sensor_def(
        "promotion_acts_sensor"
    )
    context = dg.build_sensor_context(stage.instance, cursor=cursor, resources={"store": StoreResource(stage.store)})
    with context:
        data = sensor.evaluate_tick(context)
    for event in data.asset_events:
        stage.instance.report_runless_asset_event(event)
    return data


def make_old(store: Store) -> None:
    """The audit as it is half a minute later."""
    with store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE promotion_audit SET at = at - interval '30 seconds'")


def test_the_sensor_launches_one_run_which_promotes_once(stage: Stage) -> None:
    winner = seed_experiment(stage.store, "check out/ö", WINNER)
    waiting = seed_experiment(stage.store, "unproven", UNPROVEN)
    assert stage.graph.tick_sensor() is None

    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    first, again = (pending_run(stage.instance, stage.store) for _ in range(2))
    assert isinstance(first, dg.RunRequest) and isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    assert first.tags["promotion_pipeline/experiments"] == "2"
    assert first.tags["promotion_pipeline/experiment_names"] == "check out/ö, unproven"

    run = stage.graph.tick_sensor()
    assert run is not None
    assert split_of(stage.store, winner) == {"control": 0, "treatment": 100}
    assert split_of(stage.store, waiting) == {"control": 50, "treatment": 50}
    assert count(stage.store, "SELECT count(*) FROM experiment_promotions WHERE state = 'promoted'") == 1
    assert count(stage.store, "SELECT count(*) FROM promotion_approvals WHERE state = 'awaiting_approval'") == 1
    assert sorted(told(stage.instance)) == ["promote", "request_approval"]
    assert stage.graph.tick_sensor() is None


def test_a_run_that_died_is_followed_by_one_with_a_new_key(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    first = pending_run(stage.instance, stage.store)
    assert isinstance(first, dg.RunRequest)
    create_run_for_test(
        stage.instance, "apply_promotion_job", tags=dict(first.tags), status=dg.DagsterRunStatus.FAILURE
    )
    second = pending_run(stage.instance, stage.store)
    assert isinstance(second, dg.RunRequest)
    assert second.run_key != first.run_key
    assert pending_run(stage.instance, stage.store) == second


TICK = """
import sys
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.store.database import open_store
with open_store() as store, open_instance(store) as instance:
    graph = InProcess(instance, store, log_level="CRITICAL")
    print("ready", flush=True)
    sys.stdin.readline()
    print("launched" if graph.tick_sensor() else "skipped", flush=True)
"""


def test_two_sensors_at_once_promote_once(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    secret = stage.store.settings.dagster_database_url
    assert secret is not None
    environment = os.environ | {
        "AUTO_PROMOTION_HOME": str(stage.store.settings.home),
        "AUTO_PROMOTION_DATABASE_URL": stage.store.url,
        "AUTO_PROMOTION_DAGSTER_DATABASE_URL": secret.get_secret_value(),
    }
    with contextlib.ExitStack() as stack:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "ignore", "-c", TICK]
        ticks = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
            for _ in range(2)
        ]
        stage.graph.run_hours(stage.hours_ago(1), stage.newest)
        assert [tick.stdout.readline() for tick in ticks if tick.stdout] == ["ready\n"] * 2
        for tick in ticks:
            assert tick.stdin
            tick.stdin.write("\n")
            tick.stdin.flush()
        said = [tick.communicate(timeout=120)[0].strip() for tick in ticks]
    assert "launched" in said
    assert [tick.returncode for tick in ticks] == [0, 0]
    assert count(stage.store, "SELECT count(*) FROM experiment_promotions") == 1
    assert count(stage.store, "SELECT count(*) FROM ab_experiment_phases") == 2
    assert split_of(stage.store, seeded) == {"control": 0, "treatment": 100}


def test_a_backfill_of_old_hours_decides_them_and_promotes_nothing(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(40), stage.hours_ago(1))
    before = count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record' AND is_promotable")
    assert before > 0
    assert stage.graph.tick_sensor() is None
    stage.graph.run_job("apply_promotion_job")
    stage.graph.run_hours(stage.hours_ago(20), stage.hours_ago(10))
    assert stage.graph.tick_sensor() is None
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 39
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest'") == 10


def test_switched_off_nothing_is_launched_and_nothing_applied(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    off = stage.with_settings(enabled=False)
    assert off.graph.tick_sensor() is None
    off.graph.run_job("apply_promotion_job")
    shadow = stage.with_settings(mode=Mode.SHADOW)
    assert shadow.graph.tick_sensor() is None, "it acts on its own decisions"
    shadow.graph.run_hours(stage.hours_ago(1), stage.newest)
    assert shadow.graph.tick_sensor() is not None
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}
    assert told(stage.instance) == ["shadow_promote"]


def test_a_backfill_by_hand_promotes_nothing_though_it_decided_the_newest_hour_first(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(5), stage.newest, by_hand=True)
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'person'") == 5
    assert stage.graph.tick_sensor() is None
    stage.graph.run_job("apply_promotion_job")
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}
    assert told(stage.instance) == []


def test_the_schedules_own_run_says_so_and_leads_to_a_promotion(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(5), stage.hours_ago(1), by_hand=True)
    stage.graph.tick_schedule(stage.newest + timedelta(minutes=5))
    made = "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'schedule' AND as_of = %s"
    assert count(stage.store, made, stage.newest) == 1
    assert stage.graph.tick_sensor() is not None
    assert split_of(stage.store, seeded) == {"control": 0, "treatment": 100}


def test_a_person_acts_from_the_launchpad(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)

    def act(job: str, op: str, **config: object) -> None:
        stage.graph.run_job(job, config={"ops": {op: {"config": {"experiment": "checkout", **config}}}})

    act("promote_job", "promote", promoted_by="ada", reason="agreed", ticket="PROJ-1")
    assert split_of(stage.store, seeded) == {"control": 0, "treatment": 100}
    act("rollback_job", "roll_back", reason="errors", rolled_back_by="ada")
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}
    with pytest.raises(RunFailedError, match="rolled back"):
        act("rollback_job", "roll_back", reason="again")
    act("release_hold_job", "lift_hold", released_by="ada")
    assert count(stage.store, "SELECT count(*) FROM ab_experiments WHERE auto_promotion_hold IS NULL") == 1
    assert told(stage.instance)[0] == "promote"
    assert told(stage.instance)[-1] == "release_hold"
    assert stage.instance.get_runs_count(dg.RunsFilter(tags={"promotion_pipeline/experiment_names": "checkout"})) == 3


def test_an_approval_from_the_launchpad_promotes(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "unproven", UNPROVEN)
    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    stage.graph.tick_sensor()
    config = {"experiment": "unproven", "approved_by": "ada"}
    stage.graph.run_job("approve_job", config={"ops": {"approve": {"config": config}}})
    assert split_of(stage.store, seeded) == {"control": 0, "treatment": 100}


def test_acts_through_other_doors_are_told_once(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    promote_winner("checkout", "manual", "user-123", store=stage.store)
    young = tick_of_acts(stage)
    assert not young.asset_events and told(stage.instance) == []

    make_old(stage.store)
    tick_of_acts(stage)
    assert told(stage.instance) == ["promote"]
    rollback_promotion("checkout", "errors", "user-123", store=stage.store)
    make_old(stage.store)
    # A cursor that was lost tells nothing twice.
    tick_of_acts(stage)
    assert told(stage.instance)[:2] == ["promote", "roll_back"]
    assert len(told(stage.instance)) == count(stage.store, "SELECT count(*) FROM promotion_audit")
