"""What a run says of all comparisons of an hour together, and of planned looks in the tables."""

from __future__ import annotations

import pytest

from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.test_hourly_run import events_of
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, seed_experiment


def test_the_newest_hour_says_how_many_comparisons_stand_out(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    seed_experiment(stage.store, "banner", NO_DIFFERENCE)
    told = list(events_of(stage.graph.run_hours(stage.hours_ago(2), stage.newest), "significance_results").values())
    numbers = ("comparisons", "p_at_most_5_percent", "remain_after_benjamini_hochberg")
    assert [told[-1][name] for name in numbers] == [2, 1, 1]
    assert not set(numbers) & set(told[0])


def test_an_hour_without_comparisons_says_so(stage: Stage) -> None:
    told = events_of(stage.graph.run_hours(stage.hours_ago(1), stage.newest), "significance_results")
    assert told[hour_key(stage.hours_ago(1))]["remain_after_benjamini_hochberg"] == 0


def test_planned_looks_are_stored_with_the_decision_of_record_and_shown(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER, promotion_config={"planned_sample_size": 50_000})
    seed_experiment(stage.store, "banner", WINNER)
    stage.graph.run_hours(stage.hours_ago(1), stage.newest)
    with stage.store.connect() as connection:
        rows = {
            row["name"]: row
            for row in connection.execute(
                "SELECT experiment.name, decided.* FROM eligibility_decisions AS decided"
                " JOIN ab_experiments AS experiment ON experiment.id = experiment_id WHERE label = 'record'"
            )
        }
        significance = connection.execute(
            "SELECT group_sequential_boundary_z AS z FROM significance_results"
        ).fetchall()
    planned, free = rows["checkout"], rows["banner"]
    assert planned["group_sequential_crossed"] is True
    assert planned["group_sequential_z"] >= planned["group_sequential_boundary_z"]
    assert planned["planned_sample_size"] == 50_000 and planned["lift_prior_sd"] == 0.1
    assert (free["group_sequential_crossed"], free["information_fraction"]) == (None, None)
    assert sorted(row["z"] is None for row in significance) == [False, True]
    assert free["sequential_srm_p_value"] is not None and free["shrunken_lift"] > 0

    (shown,) = assess(stage.store, ["checkout"])
    evidence = shown.to_json()["evidence"]
    assert evidence["groupSequentialBoundaryZ"] == pytest.approx(planned["group_sequential_boundary_z"])
    assert evidence["shrunkenLift"] == pytest.approx(planned["shrunken_lift"])
    assert shown.notes[0].startswith("expected to be about +")
    assert "reaches the group-sequential boundary" in shown.notes[1]
