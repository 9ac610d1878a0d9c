"""A what-if in Dagster leaves what the UI says of the record as it is."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.test_hourly_run import TABLES, events_of
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

WHAT_IF: dict[str, object] = {"ops": {"evaluation": {"config": {"label": "strict", "min_improvement_percent": 90.0}}}}


def results(instance: dg.DagsterInstance) -> dict[str, tuple[str, str | None]]:
    """What the UI says of each check of the decisions: status and sentence."""
    found = {}
    for name in ("every_experiment_is_decided", "sample_ratio_is_sound"):
        key = dg.AssetCheckKey(dg.AssetKey("eligibility_decisions"), name)
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert record.event is not None and record.event.dagster_event is not None
        is_answered = record.event.dagster_event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        said = record.event.dagster_event.asset_check_evaluation_data.description if is_answered else None
        found[name] = (record.status.value, said)
    return found


def test_a_what_if_leaves_the_check_results_of_the_record_as_they_are(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    tags = range_tags(stage.hours_ago(1), stage.newest)
    stage.graph.run_assets(TABLES, tags=tags)
    before = results(stage.instance)
    assert before["every_experiment_is_decided"][0] == "SUCCEEDED"
    stage.graph.run_assets(["eligibility_decisions"], tags=tags, config=WHAT_IF)
    assert results(stage.instance) == before


def test_the_numbers_of_a_what_if_stand_beside_those_of_the_record_under_its_label(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    tags = range_tags(stage.hours_ago(1), stage.newest)
    (recorded,) = events_of(stage.graph.run_assets(TABLES, tags=tags), "eligibility_decisions").values()
    assert (recorded["eligible"], recorded["rejected"]) == (1, 0)
    asked = stage.graph.run_assets(["eligibility_decisions"], tags=tags, config=WHAT_IF)
    (event,) = events_of(asked, "eligibility_decisions").values()
    assert event["label"] == "strict"
    assert (event["eligible"], event["rejected"]) == (1, 0)
    assert (event["what_if_eligible"], event["what_if_rejected"]) == (0, 1)
