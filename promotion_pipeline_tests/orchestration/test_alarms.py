"""Which failed runs people are told of."""

from __future__ import annotations

from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import act_jobs, delivery, jobs, names
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, count, seed_experiment

ALARMS = "SELECT count(*) FROM notification_outbox WHERE event = 'run_failure'"


@dg.op
def breaks() -> None:
    raise ValueError("the warehouse is on fire")


@dg.job
def job_of_a_team() -> None:
    breaks()


def alarm(stage: Stage, failed: dg.ExecuteInProcessResult) -> None:
    assert not failed.success
    with dg.build_run_status_sensor_context(
        sensor_name=names.FAILURE_SENSOR,
        dagster_event=failed.get_run_failure_event(),
        dagster_instance=stage.instance,
        dagster_run=failed.dagster_run,
        resources={"store": StoreResource(stage.store)},
    ) as context:
        delivery.run_failure_alarm(context.for_run_failure())


def run(
    stage: Stage, job: dg.JobDefinition, config: dict[str, Any] | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    resources = {"store": StoreResource(stage.store)}
    return job.execute_in_process(
        run_config=config, instance=stage.instance, resources=resources, raise_on_error=False, tags=tags
    )


def test_a_failed_run_of_a_teams_own_job_is_no_business_of_ours(stage: Stage) -> None:
    alarm(stage, run(stage, job_of_a_team))
    assert count(stage.store, ALARMS) == 0


def test_a_persons_mistake_pages_nobody(stage: Stage) -> None:
    seed_experiment(stage.store, "worse", NO_DIFFERENCE)
    for experiment in ("worse", "no such experiment"):
        alarm(stage, run(stage, act_jobs.promote_job, {"ops": {"promote": {"config": {"experiment": experiment}}}}))
    typo = {"ops": {"evaluate_hours": {"config": {"experiments": ["no such experiment"]}}}}
    alarm(stage, run(stage, jobs.evaluate_job, typo))
    backwards = {"ops": {"evaluate_hours": {"config": {"start": "2026-03-02T00:00Z", "end": "2026-03-01T00:00Z"}}}}
    alarm(stage, run(stage, jobs.evaluate_job, backwards))
    assert count(stage.store, ALARMS) == 0


def test_the_same_refusal_of_a_run_that_no_person_started_is_told(stage: Stage) -> None:
    config = {"ops": {"promote": {"config": {"experiment": "no such experiment"}}}}
    alarm(stage, run(stage, act_jobs.promote_job, config, **{"dagster/sensor_name": "somebody's"}))
    assert count(stage.store, ALARMS) == 1


def test_a_run_that_broke_is_told_whoever_started_it(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", NO_DIFFERENCE)
    with stage.store.connect() as connection:
        connection.execute("DROP TABLE promotion_audit CASCADE")
    alarm(stage, run(stage, act_jobs.promote_job, {"ops": {"promote": {"config": {"experiment": "checkout"}}}}))
    assert count(stage.store, ALARMS) == 1


def test_a_failed_backfill_is_named_by_what_it_fills(stage: Stage) -> None:
    with stage.store.connect() as connection:
        connection.execute("ALTER TABLE variant_metrics RENAME COLUMN requests TO taken")
    definitions = build_definitions(resource_overrides={"store": StoreResource(stage.store)})
    job = definitions.resolve_implicit_global_asset_job_def()
    seed_experiment(stage.store, "checkout", NO_DIFFERENCE)
    failed = job.execute_in_process(
        instance=stage.instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey("variant_metrics")],
        tags={**range_tags(stage.hours_ago(1), stage.newest), "dagster/backfill": "abc"},
    )
    alarm(stage, failed)
    with stage.store.connect() as connection:
        row = connection.execute("SELECT payload ->> 'job' AS job FROM notification_outbox").fetchone()
    assert row == {"job": "backfill of variant_metrics"}
