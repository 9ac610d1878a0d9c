"""Plans: the size has the power, what costs more costs more, and what cannot be planned is explained."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from promotion_pipeline.config import Direction, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.planning import Aim, EvidencePlan, ExperimentPlan, Traffic, plan
from promotion_pipeline.planning.walk import walk_of
from promotion_pipeline.simulation import Scenario, simulate
from promotion_pipeline.simulation.outcomes import PromotionRule
from promotion_pipeline.statistics import always_valid_critical_z, sample_size_two_proportions
from promotion_pipeline_tests import golden

SHOP = Traffic(mean=0.05, requests_per_day=9_600)
LIFT = Aim(lift=0.1, power=0.8)
FIXED, ALWAYS = ("fixed_horizon",), ("always_valid",)
ANY_LIFT = PromotionConfig(min_improvement_percent=0, min_runtime_hours=0, min_sample_size=1)


def _need(found: ExperimentPlan, evidence: str) -> EvidencePlan:
    return next(need for need in found.needs if need.evidence.endswith(evidence))


def _requests(found: ExperimentPlan, evidence: str) -> int:
    requests = _need(found, evidence).requests_two_arms
    assert requests is not None
    return requests


def test_one_look_needs_what_the_published_sample_size_says() -> None:
    row = next(row for row in golden.rows() if row["id"] == "pw_10pct_5rel")
    traffic = Traffic(mean=row["inputs"]["p1"], requests_per_day=2_400)
    found = plan(traffic, Aim(lift=0.05, power=row["inputs"]["power"]), ANY_LIFT, evidences=FIXED)
    # The product tests the log of the ratio by hours, the row the difference by requests: less than 1 percent apart.
    assert _requests(found, "fixed_horizon") == pytest.approx(2 * row["expected"]["n_per_arm"], rel=0.01)


def test_planned_power_is_that_of_simulated_experiments() -> None:
    hours, experiments = 336, 2000
    rng = np.random.default_rng(1)
    n = rng.poisson(200, (2, experiments, hours)).cumsum(axis=2)
    x = np.diff(n, axis=2, prepend=0)
    x = rng.binomial(x, np.array([0.05, 0.055])[:, None, None]).cumsum(axis=2)
    p, total = x / n, n.sum(axis=0)
    with np.errstate(all="ignore"):
        z = np.log(p[1] / p[0]) / np.sqrt(((1 - p) / p / n).sum(axis=0))
    n_star = np.where(np.arange(1, hours + 1) >= 48, np.maximum(3.5 * total[:, 47:48], 5000), 5000)
    acted = (z >= always_valid_critical_z(total, n_star, 0.05)) & (p[1] / p[0] >= 1.05)
    simulated = acted[:, 47:].cumsum(axis=1) > 0
    walk = walk_of(SHOP, LIFT, PromotionConfig())
    looks = walk.hours(hours)
    planned = walk.acted(looks, always_valid_critical_z(looks * 400, walk.n_star(looks), 0.05))
    error = np.sqrt(planned * (1 - planned) / experiments)
    assert (np.abs(simulated.mean(axis=0) - planned) <= 4 * error).all()


@pytest.mark.parametrize(
    ("scenario", "traffic", "lift"),
    [
        (Scenario(lifts=(0.1,)), SHOP, 0.1),
        (Scenario(lifts=(0.2,), requests_per_user=10, visit_days=3), SHOP.with_users(10, 0.25), 0.2),
    ],
)
def test_planned_power_is_that_of_the_whole_rule_in_the_simulation(
    scenario: Scenario, traffic: Traffic, lift: float
) -> None:
    rules = simulate(scenario, experiments=40 if scenario.requests_per_user else 300, seed=5).rules
    found = next(rule for rule in rules if rule.rule is PromotionRule.UNATTENDED)
    walk = walk_of(traffic, Aim(lift=lift), PromotionConfig())
    looks = walk.hours(336)
    planned = walk.acted(looks, always_valid_critical_z(looks * 400, walk.n_star(looks), 0.05))[-1]
    assert found.power.value is not None and found.power.standard_error is not None
    assert abs(found.power.value - planned) <= 3.5 * found.power.standard_error


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_every_evidence_has_the_power_that_it_was_asked_for(power: float) -> None:
    found = plan(SHOP, replace(LIFT, power=power))
    for need in found.needs:
        assert need.power == pytest.approx(power, abs=0.012)
        assert need.power is not None and need.power >= power
        assert need.hours is not None and need.median_hours is not None and need.expected_hours is not None
        assert need.median_hours <= need.hours
        assert need.expected_hours <= need.hours


def test_what_may_be_looked_at_needs_more_requests_than_what_may_not_but_is_found_sooner() -> None:
    found = plan(SHOP, LIFT)
    fixed, group = _requests(found, "fixed_horizon"), _requests(found, "obrien_fleming")
    assert fixed < group < _requests(found, "alpha_t_squared") < _requests(found, "always_valid")
    once, often = _need(found, "fixed_horizon").median_hours, _need(found, "always_valid").median_hours
    assert once is not None and often is not None
    assert often < 0.85 * once


def test_users_who_come_back_cost_their_design_effect() -> None:
    users = SHOP.with_users(10, 0.25)
    assert users.design_effect == pytest.approx(1 + (10.9 - 1) * 0.25)
    wanted = [
        _requests(plan(traffic, Aim(lift=0.2, power=0.9), evidences=ALWAYS), "always_valid")
        for traffic in (SHOP, users)
    ]
    assert wanted[1] / wanted[0] == pytest.approx(users.design_effect, rel=0.35)
    need = _need(plan(users, Aim(lift=0.2, power=0.9), evidences=ALWAYS), "always_valid")
    assert need.users == pytest.approx((need.requests or 0) / 10, abs=1)
    assert "design effect 3.48" in plan(users, LIFT, evidences=FIXED).notes[0]


def test_more_variants_share_the_error_and_the_traffic() -> None:
    two, four = (plan(traffic, LIFT, evidences=ALWAYS) for traffic in (SHOP, replace(SHOP, shares=(0.25,) * 4)))
    assert four.alpha == pytest.approx(two.alpha / 3)
    assert _requests(four, "always_valid") > _requests(two, "always_valid")
    of_all = _need(four, "always_valid").requests
    assert of_all == pytest.approx(2 * _requests(four, "always_valid"), abs=2)


def test_goals_and_guardrails_say_what_they_cost() -> None:
    alone = plan(SHOP, LIFT)
    more = plan(SHOP, replace(LIFT, goals=3, guardrails=3, margin=0.1))
    assert more.alpha == pytest.approx(0.05 / 3)
    assert more.power_of_each_test == pytest.approx(0.95)
    planned = [need for need in more.needs if need.why_not is None]
    assert [need.evidence for need in planned] == ["always_valid", "fixed_horizon"]
    for before, after in ((alone.needs[0], planned[0]), (alone.needs[-1], planned[1])):
        assert before.cost_percent == 0
        assert after.requests is not None and before.requests is not None and after.cost_percent is not None
        assert 1 + after.cost_percent / 100 == pytest.approx(after.requests / before.requests, rel=1e-3)
        assert after.cost_percent > 30
    assert more.guardrail_requests_two_arms is not None


def test_a_plan_does_not_end_before_its_guardrails_can_be_shown() -> None:
    tight = plan(SHOP, replace(LIFT, guardrails=1, margin=0.02), evidences=FIXED)
    assert tight.guardrail_requests_two_arms is not None
    assert {need.requests_two_arms for need in tight.needs} == {tight.guardrail_requests_two_arms}
    hopeless = plan(SHOP, replace(LIFT, guardrails=1, margin=0.001), evidences=FIXED)
    assert {need.requests_two_arms for need in hopeless.needs} == {None}


def test_a_lift_under_the_least_improvement_has_no_plan_and_says_why() -> None:
    found = plan(SHOP, Aim(lift=0.05))
    assert {need.requests for need in found.needs} == {None}
    assert "min_improvement_percent (5 %)" in (found.needs[0].why_not or "")
    assert _requests(plan(SHOP, Aim(lift=0.05), PromotionConfig(min_improvement_percent=0)), "always_valid") > 0


def test_runtime_sample_and_attribution_window_are_part_of_the_plan() -> None:
    busy = Traffic(mean=0.3, requests_per_day=10_000_000)
    patient = PromotionConfig(min_runtime_hours=168, attribution_window_hours=24)
    assert {need.hours for need in plan(busy, LIFT, patient).needs} == {192.0}
    quiet = Traffic(mean=0.9, requests_per_day=240)
    large = PromotionConfig(min_sample_size=50_000)
    assert all((need.requests_two_arms or 0) >= 100_000 for need in plan(quiet, LIFT, large).needs if need.hours)


def test_less_can_be_better() -> None:
    fewer = plan(SHOP, LIFT, PromotionConfig(direction=Direction.DECREASE))
    assert _requests(fewer, "always_valid") == pytest.approx(_requests(plan(SHOP, LIFT), "always_valid"), rel=0.2)
    with pytest.raises(InputError, match="which it cannot be"):
        plan(SHOP, Aim(lift=1.0), PromotionConfig(direction=Direction.DECREASE))


def test_values_are_planned_by_their_spread() -> None:
    value = Traffic(mean=12.0, requests_per_day=9_600, is_proportion=False, relative_variance=19.0)
    assert _requests(plan(value, LIFT), "always_valid") == pytest.approx(
        _requests(plan(SHOP, LIFT), "always_valid"), rel=0.1
    )


def test_it_can_be_told_in_json() -> None:
    told = json.loads(json.dumps(plan(SHOP, LIFT).to_json(), allow_nan=False))
    assert told["needs"][0]["evidence"] == "always_valid"
    assert told["traffic"]["requestsPerDay"] == 9600


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mean": 0.0}, "where nothing converts yet"),
        ({"mean": 5.0}, "5 % is 0.05"),
        ({"requests_per_day": 0.0}, "--requests-per-day"),
        ({"requests_per_day": float("nan")}, "nan requests a day"),
        ({"shares": (1.0,)}, "2 to 20 variants"),
        ({"shares": (0.5, 0.6)}, "sum to 1"),
        ({"design_effect": 0.5}, "design effect of 0.5"),
        ({"requests_per_user": 0.2}, "0.2 requests a user"),
        ({"is_proportion": False}, "relative variance 0"),
    ],
)
def test_traffic_that_cannot_be_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(SHOP, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lift": 0.0}, "without a difference there"),
        ({"lift": -0.1}, "must be above 0"),
        ({"power": 1.0}, "no finite plan"),
        ({"power": 80.0}, "such as 80 or 90"),
        ({"goals": 0}, "0 goals"),
        ({"guardrails": -1}, "-1 guardrails"),
        ({"margin": 0.0}, "cannot be shown with any traffic"),
        ({"guardrail_rate": 2.0}, "2 % is 0.02"),
    ],
)
def test_an_aim_that_cannot_be_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(LIFT, **values)  # type: ignore[arg-type]


def test_the_published_formula_and_the_plan_agree_over_rates() -> None:
    for rate in (0.02, 0.4):
        n = float(sample_size_two_proportions(rate, 1.2 * rate, 0.9))
        found = plan(Traffic(mean=rate, requests_per_day=480), Aim(lift=0.2, power=0.9), ANY_LIFT, evidences=FIXED)
        assert _requests(found, "fixed_horizon") == pytest.approx(2 * n, rel=0.03)


def test_a_plan_waits_for_the_conversions_that_an_unattended_promotion_asks_for() -> None:
    asked = PromotionConfig(min_conversions=5_000)
    found = plan(SHOP, Aim(lift=0.2), asked)
    # 200 requests an hour in each arm, of which control's 5 % convert: 10 an hour.
    assert all(need.median_hours is not None and need.median_hours >= 500 for need in found.needs)
    assert any("5,000 conversions after 500 h" in note for note in found.notes)
    never = plan(SHOP, Aim(lift=0.2), PromotionConfig(min_conversions=10_000_000))
    assert all(need.hours is None and "min_conversions=10,000,000" in str(need.why_not) for need in never.needs)


def test_a_plan_of_whole_weeks_promotes_at_whole_weeks_alone() -> None:
    found = plan(SHOP, LIFT, PromotionConfig(whole_weeks=True))
    free = plan(SHOP, LIFT)
    for need, other in zip(found.needs, free.needs, strict=True):
        assert need.hours is not None and other.hours is not None and need.median_hours is not None
        assert need.hours % 168 < 6 and need.median_hours % 168 < 6 and need.hours >= 168
        assert need.power is not None and need.power >= LIFT.power
        assert need.hours >= 0.9 * other.hours
    assert any("whole number of weeks" in note for note in found.notes)


def test_whole_weeks_with_a_guardrail_end_at_a_whole_week_too() -> None:
    found = plan(SHOP, replace(LIFT, guardrails=2, margin=0.1), PromotionConfig(whole_weeks=True), evidences=ALWAYS)
    assert found.needs[0].hours is not None and found.needs[0].hours % 168 < 6


def test_what_a_plan_of_a_value_does_not_know_of_conversions_it_says() -> None:
    value = Traffic(24.0, 9_600, is_proportion=False, relative_variance=6.0)
    found = plan(value, LIFT, PromotionConfig(min_conversions=500), evidences=FIXED)
    assert any("NOT part of the figures" in note for note in found.notes)
    known = plan(replace(value, conversion_rate=0.01), LIFT, PromotionConfig(min_conversions=5_000), evidences=FIXED)
    assert known.needs[0].hours is not None and known.needs[0].hours >= 2_500


def test_where_the_guardrails_set_the_end_the_plan_says_why_its_lines_are_alike() -> None:
    found = plan(SHOP, replace(LIFT, lift=0.2, guardrails=1, margin=0.05), evidences=("always_valid", "fixed_horizon"))
    assert len({need.requests_two_arms for need in found.needs}) == 1
    assert any(note.startswith("always_valid, fixed_horizon: the goal would be found sooner") for note in found.notes)
    goal_is_last = plan(SHOP, replace(LIFT, lift=0.1, guardrails=1, margin=0.9), evidences=ALWAYS)
    assert not any("waits for the guardrails" in note for note in goal_is_last.notes)
