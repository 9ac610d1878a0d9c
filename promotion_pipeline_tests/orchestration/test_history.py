"""Backfills and late rows in Dagster: what is told, what is stored, and what must not move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import yaml

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig
from promotion_pipeline.definitions import defs
from promotion_pipeline.orchestration.assets.evaluation import CONFIG_BLOCK, DECISIONS_DESCRIPTION
from promotion_pipeline.orchestration.partitions import hour_key, range_tags
from promotion_pipeline.orchestration.run_config import ThresholdConfig
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.test_hourly_run import TABLES, events_of
from promotion_pipeline_tests.seeding import (
    WINNER,
    Seeded,
    VariantSpec,
    add_requests,
    count,
    seed_experiment,
    split_of,
)

CONTROL_CONVERTS = VariantSpec("control", requests=900, conversions=900)
RECORD = "SELECT * FROM eligibility_decisions WHERE label = 'record' ORDER BY hour, experiment_id"


def of_last_weeks(stage: Stage) -> Seeded:
    """A winner of the last ten days, of which two hours of last week are decided."""
    seeded = seed_experiment(stage.store, "checkout", WINNER, start=stage.hours_ago(240), end=stage.newest)
    stage.graph.run_hours(stage.hours_ago(73), stage.hours_ago(71))
    return seeded


def rows(stage: Stage, query: str) -> list[dict[str, Any]]:
    with stage.store.connect() as connection:
        return connection.execute(query).fetchall()


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations() if not check.passed}


def test_late_rows_within_the_look_back_are_decided_again_by_the_next_run(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(6), stage.hours_ago(1))
    before = rows(stage, RECORD)
    add_requests(stage.store, seeded, CONTROL_CONVERTS, start=stage.hours_ago(4), end=stage.hours_ago(3))
    result = stage.graph.run_hours(stage.hours_ago(1), stage.newest)

    (event,) = events_of(result, "eligibility_decisions").values()
    assert event["decisions_that_late_rows_would_change"] == 3
    assert "promotable: treatment -" in event["late_rows"]
    assert rows(stage, RECORD)[: len(before)] == before
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest'") == 3
    assert count(stage.store, "SELECT count(*) FROM notification_outbox WHERE event = 'late_verdict'") == 1
    # The newest hour knows the late rows already: its decision is no late verdict.
    assert rows(stage, RECORD)[-1]["verdict"] != "eligible"


def test_rows_of_last_week_are_read_again_by_the_hourly_run_told_once_and_rewrite_nothing(stage: Stage) -> None:
    seeded = of_last_weeks(stage)
    before = rows(stage, RECORD)
    assert [row["verdict"] for row in before] == ["eligible", "eligible"]
    late_hour = stage.hours_ago(73)
    add_requests(stage.store, seeded, CONTROL_CONVERTS, start=late_hour, end=late_hour + timedelta(hours=1))

    hourly = stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    assert "old_requests_are_conserved" not in failed_checks(hourly)
    event = events_of(hourly, "eligibility_decisions")[hour_key(stage.hours_ago(1))]
    # The two hours of last week; the newest one knows the late rows already.
    assert event["decisions_that_late_rows_would_change"] == 2
    assert count(stage.store, "SELECT count(*) FROM notification_outbox WHERE event = 'late_verdict'") >= 1
    assert rows(stage, RECORD)[:2] == before
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 3
    told = count(stage.store, "SELECT count(*) FROM notification_outbox")
    stage.graph.run_assets(TABLES, tags=range_tags(stage.hours_ago(73), stage.hours_ago(71)))
    assert count(stage.store, "SELECT count(*) FROM notification_outbox") == told


def test_a_backfill_of_an_old_range_moves_no_traffic_and_its_what_if_lists_what_changes(stage: Stage) -> None:
    seeded = of_last_weeks(stage)
    before = rows(stage, RECORD)
    config = {"label": "99 %", "min_confidence_level": 99.0, "min_improvement_percent": 40.0, "guardrails": ["latency"]}
    tags = range_tags(stage.hours_ago(100), stage.hours_ago(70))
    what_if: dict[str, object] = {"ops": {"evaluation": {"config": config}}}
    result = stage.graph.run_assets(TABLES, tags=tags, config=what_if)
    event = list(events_of(result, "eligibility_decisions").values())[-1]
    assert event["decisions_beside_the_record"] == 30
    assert "2 of 2 decisions" in event["diff_to_the_record"]
    assert "rejected" in event["diff_to_the_record"]
    assert rows(stage, RECORD) == before

    stage.graph.run_assets(TABLES, tags=tags)
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 30
    assert stage.graph.tick_sensor() is None
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}
    assert count(stage.store, "SELECT count(*) FROM experiment_promotions") == 0


def test_the_evaluate_job_lists_what_changes(stage: Stage) -> None:
    of_last_weeks(stage)
    config = {
        "start": stage.hours_ago(73).isoformat(),
        "end": stage.hours_ago(71).isoformat(),
        "label": "strict",
        "min_improvement_percent": 50.0,
    }
    result = stage.graph.run_job("evaluate_job", config={"ops": {"evaluate_hours": {"config": config}}})
    (observed,) = [event for event in result.all_events if event.is_asset_observation]
    metadata = observed.asset_observation_data.asset_observation.metadata
    assert "2 of 2 decisions" in str(metadata["diff_to_the_record"].value)


def test_the_config_of_the_asset_description_can_be_pasted() -> None:
    assert CONFIG_BLOCK in DECISIONS_DESCRIPTION
    pasted = yaml.safe_load(CONFIG_BLOCK.removeprefix("```yaml").removesuffix("```"))
    job = dg.define_asset_job("pasted", selection=["eligibility_decisions"])
    resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("pasted")
    assert dg.validate_run_config(resolved, pasted)
    config = pasted["ops"]["evaluation"]["config"]
    thresholds = ThresholdConfig(
        **{name: value for name, value in config.items() if name not in {"label", "experiments"}}
    )
    assert thresholds.thresholds().model_fields_set == {"min_confidence_level", "guardrails"}


def test_a_what_if_can_ask_about_every_threshold_that_decides() -> None:
    assert set(ThresholdConfig.model_fields) == set(PromotionConfig.model_fields) - ACTING_FIELDS
