"""The hourly job over real requests: tables, events, checks, what-ifs, late rows."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from promotion_pipeline.orchestration import failures
from promotion_pipeline.orchestration.in_process import RunFailedError
from promotion_pipeline.orchestration.partitions import hour_key, range_tags
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import (
    NO_DIFFERENCE,
    UNPROVEN,
    WINNER,
    VariantSpec,
    add_requests,
    count,
    seed_experiment,
    split_of,
)

TABLES = ["hourly_variant_rollups", "variant_metrics", "significance_results", "eligibility_decisions"]


def events_of(result: dg.ExecuteInProcessResult, table: str) -> dict[str, dict[str, Any]]:
    """Metadata of each hour's event, by partition."""
    return {
        str(event.partition): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(table)
    }


def test_one_run_fills_all_tables_and_tells_every_hour_its_own_numbers(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    seed_experiment(stage.store, "Größe | 'x'", NO_DIFFERENCE)
    seed_experiment(stage.store, "unproven", UNPROVEN, promotion_config={"min_runtime_hours": 95.5})
    result = stage.graph.run_hours(stage.hours_ago(4), stage.newest)

    for table in TABLES:
        assert count(stage.store, f"SELECT count(DISTINCT hour) FROM {table} WHERE hour >= %s", stage.hours_ago(4)) == 4
        assert list(events_of(result, table)) == [hour_key(stage.hours_ago(hours)) for hours in (4, 3, 2, 1)]
    decisions = list(events_of(result, "eligibility_decisions").values())
    assert [event["experiments"] for event in decisions] == [3, 3, 3, 3]
    assert [event["waiting"] for event in decisions] == [0, 0, 0, 1]
    assert decisions[-1]["promotable"] == 1
    assert "**promotable**" in decisions[-1]["verdicts"]
    assert "Größe \\| 'x'" in decisions[-1]["verdicts"]
    assert decisions[-1]["lift"].startswith("![")
    assert all("lift" not in event and "verdicts" not in event for event in decisions[:-1])
    assert {dep.column_name for dep in decisions[-1]["dagster/column_lineage"].deps_by_column["lift_lower"]} == {
        "always_valid_lower"
    }
    assert {check.check_name: check.passed for check in result.get_asset_check_evaluations()} == {
        "requests_are_conserved": True,
        "old_requests_are_conserved": True,
        "metric_sums_are_conserved": True,
        "requests_are_fresh": True,
        "requests_are_as_many_as_usual": True,
        "metrics_are_possible": True,
        "probabilities_are_possible": True,
        "sample_ratio_is_sound": True,
        "every_experiment_is_decided": True,
        "no_winner_is_worse_than_promised": True,
        "every_winner_is_seen": True,
        "promoted_splits_stand": True,
        "served_is_decided_is_observed": True,
    }
    watched = stage.instance.get_latest_materialization_event(dg.AssetKey("promotion_watch"))
    assert watched is not None
    assert watched.asset_materialization is not None
    numbers = {name: value.value for name, value in watched.asset_materialization.metadata.items()}
    assert numbers["promoted_last_hour"] == numbers["waiting_for_approval"] == 0


def test_a_run_without_experiments_succeeds(stage: Stage) -> None:
    result = stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    assert events_of(result, "eligibility_decisions")[hour_key(stage.hours_ago(1))]["experiments"] == 0


def test_one_table_can_be_filled_alone(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(2), stage.newest)
    with stage.store.connect() as connection:
        connection.execute("DELETE FROM significance_results")
        connection.execute("DELETE FROM variant_metrics")
    result = stage.graph.run_assets(["significance_results"], tags=range_tags(stage.hours_ago(2), stage.newest))
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {
        dg.AssetKey("significance_results")
    }
    assert count(stage.store, "SELECT count(*) FROM significance_results") == 2
    assert count(stage.store, "SELECT count(*) FROM variant_metrics") == 0


def test_a_what_if_is_stored_beside_the_record_and_promotes_nothing(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(3), stage.hours_ago(1))
    config = {"label": "strict", "min_improvement_percent": 50.0}
    stage.graph.run_assets(
        TABLES[1:],
        tags=range_tags(stage.hours_ago(2), stage.newest),
        config={"ops": {"evaluation": {"config": config}}},
    )
    with stage.store.connect() as connection:
        rows = connection.execute(
            "SELECT label, verdict, count(*) AS hours FROM eligibility_decisions GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
    # The newest hour had no decision yet, and a question about other thresholds does not become its record.
    assert [(r["label"], r["verdict"], r["hours"]) for r in rows] == [
        ("record", "eligible", 2),
        ("strict", "rejected", 2),
    ]
    assert stage.graph.tick_sensor() is None
    assert split_of(stage.store, seeded) == {"control": 50, "treatment": 50}


def test_the_evaluate_job_asks_about_any_hours(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(30), stage.newest)
    config = {"start": stage.hours_ago(6).isoformat(), "label": "99.9 %", "min_confidence_level": 99.9}
    stage.graph.run_job("evaluate_job", config={"ops": {"evaluate_hours": {"config": config}}})
    stage.graph.run_job("evaluate_job")
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = '99.9 %%'") == 6
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest'") == 24
    with pytest.raises(RunFailedError, match="write it as 2026"):
        stage.graph.run_job("evaluate_job", config={"ops": {"evaluate_hours": {"config": {"start": "yesterday"}}}})


def test_late_rows_are_noticed_and_read_again_by_the_next_run(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER, end=stage.newest)
    stage.graph.run_hours(stage.hours_ago(6), stage.hours_ago(1))
    late = VariantSpec("treatment", requests=120, conversions=12)
    add_requests(stage.store, seeded, late, start=stage.hours_ago(5), end=stage.hours_ago(4))

    checks = stage.graph.run_assets(["hourly_variant_rollups"], checks_only=True).get_asset_check_evaluations()
    conserved = next(check for check in checks if check.check_name == "requests_are_conserved")
    assert not conserved.passed
    assert conserved.severity is dg.AssetCheckSeverity.WARN
    assert conserved.metadata["late_requests"].value == 120

    result = stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    assert events_of(result, "hourly_variant_rollups")[hour_key(stage.hours_ago(1))]["rows_changed"] == 3
    assert count(stage.store, "SELECT sum(requests) FROM hourly_variant_rollups") == 20_120


def test_stale_and_lopsided_experiments_are_pointed_out_and_fail_no_run(stage: Stage) -> None:
    seed_experiment(stage.store, "stale", WINNER, end=stage.hours_ago(10))
    lopsided = (
        VariantSpec("control", is_control=True, requests=4_000, conversions=400),
        VariantSpec("treatment", requests=3_000, conversions=300),
    )
    seed_experiment(stage.store, "lopsided", lopsided)
    result = stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    found = {check.check_name: check for check in result.get_asset_check_evaluations() if not check.passed}
    assert set(found) == {"requests_are_fresh", "requests_are_as_many_as_usual", "sample_ratio_is_sound"}
    assert all(check.severity is dg.AssetCheckSeverity.WARN for check in found.values())
    assert found["requests_are_fresh"].metadata["stalest"].value == ["stale: 10.0 hours"]
    assert found["sample_ratio_is_sound"].metadata["mismatched_experiments"].value == 1


def test_an_hour_that_is_not_over_is_not_decided(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    with pytest.raises(RunFailedError, match="newest complete hour"):
        stage.graph.run_hours(stage.newest, stage.newest + timedelta(hours=1))
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions") == 0


def test_a_dependency_that_is_down_is_tried_again_and_wrong_input_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from promotion_pipeline.errors import DependencyError, InputError

    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0)
    tries = {"down": 0, "wrong": 0}

    @dg.op
    def down(context: dg.OpExecutionContext) -> None:
        tries["down"] += 1
        with failures.step_failures(context):
            raise DependencyError("the database is down")

    @dg.op
    def wrong(context: dg.OpExecutionContext) -> None:
        tries["wrong"] += 1
        with failures.step_failures(context):
            raise InputError("a value cannot be used")

    @dg.job
    def both() -> None:
        down()
        wrong()

    result = both.execute_in_process(raise_on_error=False)
    assert not result.success
    assert tries == {"down": 1 + failures.MAX_RETRIES, "wrong": 1}
