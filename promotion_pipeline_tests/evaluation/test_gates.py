"""Group-sequential evidence, and the gates that an experiment may add: what each lets go, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.config import MetricConfig, PromotionConfig
from promotion_pipeline.evaluation import evaluate, explain, outlook
from promotion_pipeline.evaluation.gates import LATE_HOURS, WEEK_HOURS
from promotion_pipeline.evaluation.unattended import is_let_go
from promotion_pipeline.simulation import Scenario, simulate
from promotion_pipeline.simulation.outcomes import PromotionRule
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}
LUCKY = {"control": (10_000, 1_000), "variant-a": (10_000, 1_110)}
PLANNED: dict[str, Any] = {"evidence": "group_sequential", "planned_sample_size": 20_000}


def _decisions(counts: dict[str, tuple[int, int]], hours: int = 72, **columns: Any) -> pd.DataFrame:
    return evaluate(sums(counts, hours=hours), experiment(**columns)).decisions


def _goes(counts: dict[str, tuple[int, int]], **columns: Any) -> bool:
    return bool(is_let_go(_decisions(counts, **columns)).iloc[-1])


def test_a_crossed_boundary_is_evidence_where_the_plan_is_what_is_asked_for() -> None:
    assert not _goes(LUCKY, planned_sample_size=20_000)
    assert _goes(LUCKY, **PLANNED)
    assert "not_always_valid" not in last(_decisions(LUCKY, **PLANNED))["warnings"]


def test_half_way_the_same_lead_is_short_of_the_boundary_and_says_when_it_could_be_there() -> None:
    decision = last(_decisions(LUCKY, evidence="group_sequential", planned_sample_size=30_000))
    assert decision["is_eligible"] and not decision["is_promotable"]
    assert "boundary_not_crossed" in decision["warnings"]
    found = outlook(decision)
    assert found is not None and found.hours is not None and 0 < found.hours < 36
    assert "group-sequential boundary" in found.needs[0].message


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"evidence": "group_sequential"}, "no_plan", "state planned_sample_size"),
        (PLANNED | {"planned_sample_size": 19_999}, "boundary_not_crossed", "the plan is over"),
        (PLANNED | {"planned_sample_size": 1_000_000}, "boundary_not_crossed", "to cross the group-sequential"),
    ],
    ids=["no plan", "past the plan", "early in the plan"],
)
def test_without_a_look_within_a_plan_nothing_goes(columns: dict[str, Any], code: str, said: str) -> None:
    decision = last(_decisions(LUCKY, **columns))
    assert decision["is_eligible"] and not decision["is_promotable"]
    assert code in decision["warnings"]
    found = outlook(decision)
    assert found is not None and any(said in need.message for need in found.needs)


def test_a_broken_split_withholds_a_crossed_boundary() -> None:
    skewed = {"control": (10_000, 1_000), "variant-a": (9_000, 1_400)}
    decision = last(_decisions(skewed, **PLANNED))
    assert decision["group_sequential_crossed"] is True
    assert not decision["is_promotable"]


def test_at_whole_weeks_means_the_hours_from_each_boundary_on() -> None:
    decisions = _decisions(GOOD, hours=2 * WEEK_HOURS + 24, whole_weeks=True)
    ages = ((decisions["as_of"] - START) / pd.Timedelta(hours=1)).to_numpy()
    weeks = [week * WEEK_HOURS + late for week in (1, 2) for late in range(LATE_HOURS)]
    assert ages[is_let_go(decisions).to_numpy()].tolist() == weeks
    assert decisions["is_promotable"].to_numpy()[-1]
    assert "whole number of weeks" in explain(decisions.iloc[-1]).warnings[-1]


def test_a_phase_of_half_past_counts_its_weeks_from_there_and_an_attribution_window_shifts_them() -> None:
    def first(**columns: Any) -> float:
        own = experiment(started_at=START + pd.Timedelta(minutes=30), whole_weeks=True, **columns)
        rows = sums(GOOD, hours=2 * WEEK_HOURS)
        decisions = evaluate(rows, own).decisions
        ages = ((decisions["as_of"] - START) / pd.Timedelta(hours=1)).to_numpy()
        return float(ages[is_let_go(decisions).to_numpy()].min())

    assert first() == WEEK_HOURS + 1
    assert first(attribution_window_hours=5.5) == WEEK_HOURS + 1 + 6


@pytest.mark.parametrize(("asked", "goes"), [(0, True), (1_000, True), (1_001, False)])
def test_conversions_are_counted_in_the_arm_that_has_fewer(asked: int, goes: bool) -> None:
    assert _goes(GOOD, min_conversions=asked) is goes
    assert ("few_conversions" in last(_decisions(GOOD, min_conversions=asked))["warnings"]) is not goes


def test_a_gate_closes_the_unattended_path_alone() -> None:
    closed = last(_decisions(GOOD, min_conversions=5_000, whole_weeks=True))
    assert closed["is_eligible"] and closed["is_promotable"]


def _past(treatment: float, *, users: float = 1_000.0) -> pd.DataFrame:
    """The sums of a metric whose users had 10 each in the past, and those of the treatment `treatment`; spread 2."""
    rows = []
    for arm, mean in (("control", 10.0), ("variant-a", treatment)):
        squares = users * (mean**2 + 4.0)
        rows.append(
            {
                "experiment_id": "button",
                "variant_id": f"button/{arm}",
                "hour": START,
                "metric": "spend",
                "new_users": users,
                "value_sum": 10.0 * users,
                "user_value_sum_squares": 104.0 * users,
                "covariate_sum": mean * users,
                "covariate_sum_squares": squares,
                "user_value_covariate_sum_products": 10.0 * mean * users,
            }
        )
    return pd.DataFrame(rows)


def _with_past(metrics: pd.DataFrame, covariate: str | None = "same_metric_before") -> pd.Series:
    stated = MetricConfig(name="spend", kind="user_mean", event="purchase", role="secondary", covariate=covariate)
    return last(
        evaluate(sums(GOOD), experiment(), metrics=metrics, config=PromotionConfig(metrics=(stated,))).decisions
    )


@pytest.mark.parametrize(("treatment", "differs"), [(10.0, False), (10.28, False), (10.31, True), (9.5, True)])
def test_users_who_differed_before_they_were_exposed_are_told_and_withheld(treatment: float, differs: bool) -> None:
    decision = _with_past(_past(treatment))
    assert ("pre_period_difference" in decision["warnings"]) is differs
    assert decision["is_promotable"]
    assert is_let_go(decision.to_frame().T).iloc[0] != differs


def test_without_a_covariate_or_any_past_there_is_nothing_to_tell() -> None:
    assert "pre_period_difference" not in _with_past(_past(20.0), covariate=None)["warnings"]
    nobody = _past(0.0).assign(covariate_sum=0.0, covariate_sum_squares=0.0)
    assert "pre_period_difference" not in _with_past(nobody)["warnings"]


@pytest.mark.parametrize(("split", "base_rate"), [((50.0, 50.0), 0.05), ((90.0, 10.0), 0.005), ((10.0, 90.0), 0.005)])
@pytest.mark.parametrize("evidence", ["always_valid", "group_sequential"])
def test_the_whole_rule_keeps_its_promise_at_rare_events_in_unequal_arms(
    evidence: str, split: tuple[float, float], base_rate: float
) -> None:
    config = PromotionConfig(evidence=evidence, planned_sample_size=48_000, min_improvement_percent=0)
    found = simulate(
        Scenario(days=5, look_every_hours=2, declared_split=split, base_rate=base_rate),
        experiments=600,
        seed=5,
        config=config,
    )
    (rule,) = (rule.false_promotions for rule in found.rules if rule.rule is PromotionRule.UNATTENDED)
    assert rule.value is not None and rule.value <= 0.025 + 3 * np.sqrt(0.025 / 600)
