"""A short version of the campaign in docs/measured.md, with tolerances of five standard errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.simulation import Campaign, Estimate, RuleSummary, Scenario, evidences, simulate
from promotion_pipeline.simulation.outcomes import Outcomes, PromotionRule
from promotion_pipeline.simulation.summary import mean, median, share, summarise

FAST = Scenario(days=3, requests_per_hour=400)


def _rule(campaign: Campaign, rule: PromotionRule) -> RuleSummary:
    return next(summary for summary in campaign.rules if summary.rule is rule)


def _is_about(estimate: Estimate, expected: float) -> bool:
    assert estimate.value is not None and estimate.standard_error is not None
    return abs(estimate.value - expected) <= 5 * estimate.standard_error


def _value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def test_a_seed_gives_the_same_figures_with_any_number_of_processes() -> None:
    one = simulate(FAST, experiments=250, seed=3, jobs=1)
    two = simulate(FAST, experiments=250, seed=3, jobs=2)
    other = simulate(FAST, experiments=250, seed=4, jobs=1)
    assert one == two
    assert one.rules != other.rules


def test_progress_goes_from_nothing_to_all() -> None:
    seen: list[float] = []
    simulate(FAST, experiments=300, advance=seen.append)
    assert seen == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


@pytest.mark.parametrize(("arms", "contract"), [(2, 0.135), (4, 0.28)])
def test_looking_hourly_promotes_losers_by_the_contract_and_hardly_ever_unattended(arms: int, contract: float) -> None:
    found = simulate(Scenario(arms=arms), experiments=800, seed=1)
    assert _is_about(_rule(found, PromotionRule.CONTRACT).false_promotions, contract)
    assert _value(_rule(found, PromotionRule.UNATTENDED).false_promotions) <= 0.025
    assert _value(found.srm[0].at_last_look) <= 0.01


def test_a_lift_of_ten_percent_is_found_and_seen_larger_than_it_is() -> None:
    found = simulate(Scenario(lifts=(0.1,)), experiments=400, seed=2)
    unattended = _rule(found, PromotionRule.UNATTENDED)
    assert _value(unattended.power) >= 0.85
    assert _value(_rule(found, PromotionRule.CONTRACT).power) >= 0.97
    assert _value(unattended.wrong_arm) == 0
    assert 1.1 <= _value(unattended.exaggeration) <= 1.5
    assert 48 <= _value(unattended.median_hours) <= 336


def test_requests_of_returning_users_mislead_where_users_are_ignored() -> None:
    scenario = Scenario(requests_per_user=10, user_correlation=0.25, visit_days=3)
    found = simulate(scenario, experiments=200, seed=3)
    by_user = _rule(found, PromotionRule.UNATTENDED).false_promotions
    by_request = _rule(found, PromotionRule.UNATTENDED_BY_REQUEST).false_promotions
    assert _value(by_user) <= 0.025
    assert _value(by_request) >= 0.05
    on_users, on_requests = found.srm
    assert _value(on_users.at_last_look) <= 0.02
    assert _value(on_requests.at_last_look) >= 0.2


def test_a_split_of_51_to_49_is_found() -> None:
    scenario = Scenario(requests_per_user=2, requests_per_hour=600, days=7, true_split=(51, 49))
    found = simulate(scenario, experiments=50, seed=4)
    assert _value(found.srm[0].at_last_look) >= 0.95
    declared = simulate(replace(scenario, declared_split=(51, 49)), experiments=50, seed=4)
    assert _value(declared.srm[0].at_last_look) <= 0.05


def test_with_an_attribution_window_a_faster_conversion_is_no_better_conversion() -> None:
    scenario = Scenario(delays_hours=(24.0, 6.0))
    misled = simulate(scenario, experiments=200, seed=5)
    assert _value(_rule(misled, PromotionRule.UNATTENDED).false_promotions) > 0.9
    config = PromotionConfig(attribution_window_hours=120)
    patient = simulate(scenario, experiments=400, seed=5, config=config)
    prompt = simulate(Scenario(), experiments=400, seed=5)
    assert _value(_rule(patient, PromotionRule.UNATTENDED).false_promotions) <= 0.025
    of_patient, of_prompt = (_rule(found, PromotionRule.CONTRACT).false_promotions for found in (patient, prompt))
    assert of_prompt.standard_error is not None
    assert _value(of_patient) <= _value(of_prompt) + 3 * of_prompt.standard_error


def test_fewer_looks_promote_fewer_losers() -> None:
    hourly = simulate(Scenario(), experiments=400, seed=6)
    once = simulate(Scenario(look_every_hours=336), experiments=400, seed=6)
    assert _value(_rule(once, PromotionRule.CONTRACT).false_promotions) < 0.04
    assert _value(_rule(hourly, PromotionRule.CONTRACT).false_promotions) > 0.09


def test_promotions_are_held_against_the_truth() -> None:
    scenario = Scenario(arms=4, lifts=(0.1, 0.05, -0.1))
    outcomes = Outcomes(
        arm=np.array([1, 1, 2, 3, -1]),
        hours=np.array([50.0, 70.0, 90.0, 110.0, np.nan]),
        lift=np.array([0.1, 0.2, 0.1, 0.05, np.nan]),
    )
    found = summarise(PromotionRule.CONTRACT, outcomes, scenario)
    assert found.power.value == pytest.approx(2 / 5)
    assert found.wrong_arm.value == pytest.approx(2 / 5)
    assert found.false_promotions.value == pytest.approx(1 / 5)
    assert found.median_hours.value == 80
    assert found.exaggeration.value == pytest.approx((1 + 2 + 2) / 3)
    nobody = summarise(PromotionRule.CONTRACT, outcomes, Scenario(arms=4))
    assert nobody.power.value is None
    assert nobody.false_promotions.value == pytest.approx(4 / 5)


def test_standard_errors_are_those_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    shares = [share(rng.random(400) < 0.1) for _ in range(400)]
    means = [mean(rng.exponential(size=400)) for _ in range(400)]
    medians = [median(rng.exponential(size=400)) for _ in range(400)]
    for estimates in (shares, means, medians):
        spread = np.std([_value(estimate) for estimate in estimates])
        typical = np.mean([estimate.standard_error or 0 for estimate in estimates])
        assert typical == pytest.approx(spread, rel=0.25)
    assert share(np.zeros(100, dtype=bool)).standard_error == pytest.approx(0.0134, abs=0.001)
    assert mean(np.array([])).value is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"arms": 1}, "arms=1"),
        ({"base_rate": 0.0}, "rates"),
        ({"base_rate": 0.5, "lifts": (1.5,)}, "between 0 and 1"),
        ({"lifts": (0.1, 0.2)}, "2 lifts for 1 treatments"),
        ({"requests_per_user": 0.5}, "requests_per_user=0.5"),
        ({"visit_days": 2.0}, "needs users"),
        ({"true_split": (60, 50)}, "sum to 100"),
        ({"declared_split": (100,)}, "2 numbers"),
        ({"delays_hours": (-1.0,)}, "delays_hours"),
        ({"days": float("nan")}, "days=nan"),
        ({"daily_swing": 1.5}, "daily_swing=1.5"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_the_value(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        Scenario(**values)  # type: ignore[arg-type]


def test_a_campaign_of_no_experiments_is_refused() -> None:
    with pytest.raises(InputError, match="experiments=0"):
        simulate(FAST, experiments=0)


def test_each_evidence_is_a_row_of_the_comparison_and_none_but_the_fixed_horizon_breaks_the_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evidences.main(["-n", "60", "-j", "1", "--seed", "4"]) == 0
    _, _, *rows = capsys.readouterr().out.splitlines()
    found = {cells[1].strip(): [cell.split()[0] for cell in cells[2:-1]] for cells in (row.split("|") for row in rows)}
    assert list(found) == [
        "`always_valid`",
        "`group_sequential`, obrien_fleming",
        "`group_sequential`, alpha_t_squared",
        "`fixed_horizon`",
    ]
    false = {name: float(cells[0]) for name, cells in found.items()}
    assert false.pop("`fixed_horizon`") > 8 > max(false.values())
    assert float(found["`group_sequential`, obrien_fleming"][4]) >= float(found["`always_valid`"][4])
