"""A short version of the cells with several metrics in docs/measured.md, and the sums that they are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.config import MetricKind, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.simulation import Scenario, SimulatedMetrics, simulate
from promotion_pipeline.simulation.events import user_events
from promotion_pipeline.simulation.metric_events import Visits, metric_sums
from promotion_pipeline.simulation.rollups import experiments_of, frames_of
from promotion_pipeline.simulation.users import Runs
from promotion_pipeline_tests.simulation.metric_cells import CELLS, FALSE_PROMOTIONS, HARMFUL, run, unattended

SMALL = Scenario(requests_per_hour=30, requests_per_user=3, days=4, base_rate=0.3)
ALL_KINDS = SimulatedMetrics(goals=2, guardrails=3, covariate_correlation=0.7)


@pytest.mark.parametrize("name", [*FALSE_PROMOTIONS, *HARMFUL])
def test_the_whole_rule_hardly_ever_promotes_what_is_no_better(name: str) -> None:
    found = unattended(run(name, 30))
    assert found.false_promotions.value is not None
    assert found.false_promotions.value <= 0.07


def test_goals_guardrails_and_a_users_past_move_power_and_time() -> None:
    names = ("1 goal", "1 goal, 3 guardrails with a margin", "1 goal with CUPED at 0.7 and a lift")
    alone, guarded, cuped = (unattended(run(name, 30)) for name in names)
    assert alone.power.value is not None and guarded.power.value is not None and cuped.power.value is not None
    assert guarded.power.value <= alone.power.value <= cuped.power.value
    assert alone.half_promoted_hours is not None and cuped.half_promoted_hours is not None
    assert guarded.half_promoted_hours is not None
    assert cuped.half_promoted_hours < 0.8 * alone.half_promoted_hours < guarded.half_promoted_hours


def test_a_cells_metrics_are_judged_by_the_real_evaluation() -> None:
    scenario = replace(SMALL, metrics=ALL_KINDS)
    rollups, metrics = frames_of(scenario, 3, np.random.default_rng(0))
    config = PromotionConfig(metrics=ALL_KINDS.stated)
    results = evaluate(rollups, experiments_of(scenario, 3), config=config, metrics=metrics).metric_results
    last = results[results["hour"] == results["hour"].max()]
    assert set(last["reason"].astype(str)) == {"measured"}
    kinds = {MetricKind.USER_MEAN, MetricKind.USER_PROPORTION, MetricKind.USER_COUNT, MetricKind.REQUEST_MEAN}
    assert set(last["kind"].astype(str)) == {kind.value for kind in kinds}
    adjusted = last.loc[last["role"].astype(str) == "goal", "variance_reduction"]
    assert adjusted.between(0.3, 0.6).all()


def test_sums_of_metrics_are_those_of_the_users_one_by_one() -> None:
    scenario = replace(SMALL, metrics=ALL_KINDS, days=2)
    rng = np.random.default_rng(1)
    visits = Visits.of(user_events(scenario, 1, 0, rng), scenario, 2)
    users = int(visits.user.max()) + 1
    sums = metric_sums(ALL_KINDS, visits, users, rng)
    assert {name: found["new_users"].sum() for name, found in sums.items()} == dict.fromkeys(
        sums, float(len(np.unique(visits.user)))
    )
    # Values of a user from sums and squares: of one row a cell there is one visit, so increments can be redone.
    latency = sums["guardrail 3"]
    visited = np.bincount(visits.user)
    assert latency["denominator_sum"].sum() == visited.sum() == latency["requests"].sum()
    assert latency["user_denominator_sum_squares"].sum() == (visited**2).sum()
    share = sums["guardrail 1"]
    assert (share["value_sum"] == share["user_value_sum_squares"]).all()
    assert share["value_sum"].sum() <= users


def test_increments_of_values_add_up_to_the_users_squares() -> None:
    frame = pd.DataFrame({"user": np.repeat(np.arange(50), 4), "value": np.random.default_rng(2).random(200)})
    value = frame["value"].to_numpy()
    before = Runs.of(frame["user"].to_numpy()).before(value)
    squares = (2 * before * value + value * value).sum()
    assert squares == pytest.approx((frame.groupby("user")["value"].sum() ** 2).sum(), rel=1e-12)


def test_a_weekly_cycle_moves_traffic_and_conversions_together() -> None:
    scenario = Scenario(days=7, weekly_swing=0.5, requests_per_hour=2_000)
    rollups, _ = frames_of(scenario, 1, np.random.default_rng(0))
    by_day = rollups.groupby(rollups["hour"].dt.day)[["requests", "conversions"]].sum()
    assert by_day["requests"].max() > 2 * by_day["requests"].min()
    rates = by_day["conversions"] / by_day["requests"]
    assert rates.max() > 2 * rates.min()


def test_a_guardrail_that_is_too_bad_makes_every_promotion_a_false_one() -> None:
    harmful = SimulatedMetrics(goals=1, guardrails=1, goal_lift=0.2, guardrail_lift=0.2, margin=0.2)
    scenario = replace(SMALL, metrics=harmful, lifts=(0.1,))
    assert scenario.true_lifts == (0.0,)
    assert replace(scenario, metrics=replace(harmful, guardrail_lift=0.1)).true_lifts == (0.2,)
    assert simulate(scenario, experiments=5).rules[0].power.value is None


def test_every_cell_of_the_table_can_be_run() -> None:
    assert {cell.scenario.metrics is not None for cell in CELLS.values()} == {True}
    assert len({repr(cell) for cell in CELLS.values()}) == len(CELLS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"goals": 0}, "neither a goal nor a guardrail"),
        ({"goals": 11}, "goals=11"),
        ({"margin": 0.0}, "margin=0"),
        ({"covariate_correlation": 0.9}, "covariate_correlation=0.9"),
    ],
)
def test_metrics_that_cannot_be_simulated_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SimulatedMetrics(**values)  # type: ignore[arg-type]


def test_metrics_need_users() -> None:
    with pytest.raises(InputError, match="metrics needs users"):
        Scenario(metrics=SimulatedMetrics())
