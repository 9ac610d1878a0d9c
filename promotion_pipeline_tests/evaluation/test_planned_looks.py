"""Group-sequential looks, the sequential test of the split, the shrunken lift: what decisions say of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation import evaluate, explain, outlook
from promotion_pipeline.simulation import Scenario, simulate
from promotion_pipeline.simulation.outcomes import PromotionRule
from promotion_pipeline.statistics import critical_z, sequential_srm
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}


def _decision(counts: dict[str, tuple[int, int]], **columns: Any) -> pd.Series:
    return last(evaluate(sums(counts), experiment(**columns)).decisions)


def test_without_a_planned_size_nothing_is_said_of_planned_looks() -> None:
    decision = _decision(GOOD)
    assert all(np.isnan(decision[name]) for name in ("information_fraction", "group_sequential_boundary_z"))
    assert decision["group_sequential_crossed"] is None
    assert not any("planned" in note for note in explain(decision).notes)


def test_the_boundary_is_that_of_obrien_and_fleming_over_the_plan() -> None:
    decision = _decision(GOOD, planned_sample_size=40_000)
    assert decision["information_fraction"] == 0.5
    assert decision["group_sequential_boundary_z"] == pytest.approx(float(critical_z(0.025)) / math.sqrt(0.5))
    error = math.sqrt(0.9 / 0.1 / 10_000 + 0.87 / 0.13 / 10_000)
    assert decision["group_sequential_z"] == pytest.approx(math.log(1.3) / error, rel=1e-3)
    assert decision["group_sequential_crossed"] is True
    (note,) = (note for note in explain(decision).notes if "planned" in note)
    assert note.startswith(
        "50 % of the planned 40,000 requests are there; z 6.62 reaches the group-sequential boundary"
    )


def test_the_boundary_is_shared_by_the_treatments_and_spent_as_asked_for() -> None:
    arms = ("control", "variant-a", "variant-b")
    both = GOOD | {"variant-b": (10_000, 1_000)}
    two = _decision(GOOD, planned_sample_size=40_000)["group_sequential_boundary_z"]
    three = last(evaluate(sums(both), experiment(arms=arms, planned_sample_size=40_000)).decisions)
    early = _decision(GOOD, planned_sample_size=40_000, group_sequential_spending="alpha_t_squared")
    assert three["group_sequential_boundary_z"] > two > early["group_sequential_boundary_z"]


def test_a_full_plan_can_still_be_read_and_after_it_nothing_crosses() -> None:
    full = _decision(GOOD, planned_sample_size=20_000)
    assert (full["information_fraction"], full["group_sequential_crossed"]) == (1.0, True)
    past = _decision(GOOD, planned_sample_size=19_999)
    assert (past["information_fraction"], past["group_sequential_crossed"]) == (1.0, None)
    assert any("past the plan" in note for note in explain(past).notes)


def test_a_fall_crosses_where_less_is_better_and_only_there() -> None:
    fewer = {"control": (10_000, 1_300), "variant-a": (10_000, 1_000)}
    assert _decision(fewer, planned_sample_size=40_000)["group_sequential_crossed"] is False
    assert _decision(fewer, planned_sample_size=40_000, direction="decrease")["group_sequential_crossed"] is True


def test_crossing_promotes_nothing_by_itself() -> None:
    lucky = {"control": (10_000, 1_000), "variant-a": (10_000, 1_110)}
    decision = _decision(lucky, planned_sample_size=20_000)
    assert decision["group_sequential_crossed"] is True
    assert decision["is_eligible"] and not decision["is_promotable"]


@pytest.mark.parametrize("spending", ["obrien_fleming", "alpha_t_squared"])
def test_hourly_looks_cross_no_more_often_than_the_level_says(spending: str) -> None:
    config = PromotionConfig(planned_sample_size=20_000, group_sequential_spending=spending)
    found = simulate(Scenario(days=5, requests_per_hour=85), experiments=1_500, seed=11, config=config)
    (planned,) = (rule.false_promotions for rule in found.rules if rule.rule is PromotionRule.GROUP_SEQUENTIAL)
    assert planned.value is not None and planned.standard_error is not None
    assert 0.005 < planned.value < 0.025 + 3 * planned.standard_error


def test_the_sequential_test_of_the_split_is_that_of_its_look_and_withholds() -> None:
    skewed = {"control": (10_000, 1_000), "variant-a": (9_000, 1_400)}
    decision = _decision(skewed)
    alone = sequential_srm([[10_000, 9_000]], [50, 50]).p_value[0]
    assert decision["sequential_srm_p_value"] == pytest.approx(float(alone), rel=1e-9)
    assert alone < 0.001
    assert decision["is_eligible"] and not decision["is_promotable"]
    assert {"sample_ratio_mismatch", "sequential_sample_ratio_mismatch"} <= set(decision["warnings"])
    assert any("repeated looks cannot explain" in warning for warning in explain(decision).warnings)
    assert _decision(GOOD)["sequential_srm_p_value"] == 1.0


def test_healthy_experiments_hardly_ever_raise_the_sequential_alarm_in_all_looks_together() -> None:
    found = simulate(Scenario(arms=3, days=7), experiments=1_000, seed=12).srm[0].sequential_ever
    assert found.value is not None and found.standard_error is not None
    assert found.value <= 0.001 + 3 * found.standard_error


def test_the_lift_is_shrunk_by_its_noise_towards_the_prior() -> None:
    row = evaluate(sums(GOOD), experiment()).significance.iloc[-1]
    sigma = float((row["lift_upper"] - row["lift_lower"]) / 2 / critical_z(0.05))
    assert row["shrunken_lift"] == pytest.approx(0.3 * 0.01 / (0.01 + sigma**2))
    wide = evaluate(sums(GOOD), experiment(lift_prior_sd_percent=1000.0)).significance.iloc[-1]
    assert wide["shrunken_lift"] == pytest.approx(0.3, rel=1e-4)
    decision = _decision(GOOD, lift_prior_sd_percent=5.0)
    assert decision["lift_prior_sd"] == 0.05
    note = explain(decision).notes[0]
    assert note.startswith(f"expected to be about {decision['shrunken_lift'] * 100:+.1f} % after shrinkage")
    assert "usually within 5 % of 0" in note


def test_the_shrunken_lift_of_promoted_winners_is_about_the_true_one() -> None:
    """True lifts as the prior has them: what was promoted looks too good, and its shrunken lift does not."""
    rng = np.random.default_rng(13)
    true = np.abs(rng.normal(0.0, 0.1, 400)) * rng.choice([-1, 1], 400)
    n = 30_000
    frames = []
    for number, lift in enumerate(true):
        counts = {"control": (n, rng.binomial(n, 0.05)), "variant-a": (n, rng.binomial(n, 0.05 * (1 + lift)))}
        frames.append(sums(counts, name=f"e{number}", hours=1))
    frame = pd.concat([experiment(f"e{number}") for number in range(len(true))])
    decisions = evaluate(pd.concat(frames), frame, hours=[START]).decisions
    picked = (decisions["z"] > 1.96).to_numpy()
    order = decisions["experiment_id"].astype(str).str[1:].astype(int).to_numpy()
    seen, shrunken = decisions["improvement"].to_numpy() / 100, decisions["shrunken_lift"].to_numpy()
    error = 4 * 0.03 / math.sqrt(picked.sum())
    assert (seen - true[order])[picked].mean() > 0.005
    assert abs((shrunken - true[order])[picked].mean()) < error


def test_what_no_wait_brings_is_named_as_missing() -> None:
    exposed = sums(GOOD)
    for name, value in {"new_users": 1_500, "user_requests": 10_000, "crossed_users": 200}.items():
        exposed[name] = np.where(exposed["requests"] > 0, value, 0)
    exposed["user_conversions"] = exposed["user_conversions_sum_squares"] = exposed["conversions"]
    exposed["user_requests_sum_squares"] = exposed["user_requests"] * 7
    exposed["user_conversions_requests_sum_products"] = exposed["conversions"] * 7
    shared = last(evaluate(exposed, experiment()).decisions)
    assert shared["multiple_exposure"] == pytest.approx(400 / 2_600)
    guarded = last(evaluate(sums(GOOD), experiment(guardrails=[("latency",)] * 2)).decisions)
    lacking = ((shared, "15 % of the users were served by several variants"), (guarded, "guardrails: 'latency'"))
    for decision, said in lacking:
        assert decision["is_eligible"] and not decision["is_promotable"]
        found = outlook(decision)
        assert found is not None and found.hours is None
        assert any(need.message.startswith(said) for need in found.needs)
