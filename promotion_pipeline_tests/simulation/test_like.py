"""A log whose users are dealt to the variants anew."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.config import Evidence, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.simulation import PromiseKept, UserLog, simulate_like
from promotion_pipeline.simulation.like import false_promotions
from promotion_pipeline.simulation.outcomes import Outcomes, PromotionRule
from promotion_pipeline.simulation.rollups import experiments_with

HOURS = 96


def _rows(users: int, seed: int) -> pd.DataFrame:
    """Visits of users with habits of their own, the second half of whom have had a much better treatment."""
    rng = np.random.default_rng(seed)
    visits = np.repeat(np.arange(users), 1 + rng.poisson(5, users))
    rate = rng.beta(0.3, 2.7, users) + 0.2 * (np.arange(users) >= users // 2)
    rows = pd.DataFrame(
        {
            "user": visits,
            "hour": rng.integers(0, HOURS, len(visits)),
            "requests": 1.0,
            "conversions": (rng.random(len(visits)) < rate[visits]).astype(float),
        }
    )
    rows["value"] = rows["conversions"] * rng.exponential(20, len(rows))
    return rows.groupby(["user", "hour"], as_index=False).sum().sample(frac=1, random_state=seed)


def _log(users: int = 3000, seed: int = 0) -> UserLog:
    rows = _rows(users, seed)
    sums = {name: rows[name].to_numpy() for name in ("requests", "conversions", "value")}
    return UserLog.of(rows["user"].to_numpy(), rows["hour"].to_numpy(), sums)


def test_every_deal_has_all_that_the_users_did() -> None:
    rows, log = _rows(500, 1), _log(500, 1)
    dealt = log.dealt(np.array([0.5, 0.3, 0.2]), 4, np.random.default_rng(0))[0]
    sums = dealt.groupby("experiment_id", observed=True)[["requests", "conversions", "value_sum", "new_users"]].sum()
    totals = [rows["requests"].sum(), rows["conversions"].sum(), rows["value"].sum(), 500]
    assert sums.to_numpy() == pytest.approx(np.tile(totals, (4, 1)))
    by_hour = dealt.groupby(["experiment_id", "hour"], observed=True)["requests"].sum().to_numpy().reshape(4, -1)
    assert (by_hour == rows.groupby("hour")["requests"].sum().to_numpy()).all()


def test_a_deals_sums_over_users_are_those_of_its_users() -> None:
    rows, log = _rows(200, 2), _log(200, 2)
    arm = np.searchsorted([0.5], np.random.default_rng(3).random(200), side="right")
    dealt = log.dealt(np.array([0.5, 0.5]), 1, np.random.default_rng(3))[0]
    users = rows.groupby("user")[["requests", "conversions", "value"]].sum()
    for number in (0, 1):
        own = users[arm[users.index] == number]
        found = dealt[dealt["variant_id"] == f"variant-{number}"]
        expected = {
            "new_users": len(own),
            "user_conversions_sum_squares": (own["conversions"] ** 2).sum(),
            "user_requests_sum_squares": (own["requests"] ** 2).sum(),
            "user_conversions_requests_sum_products": (own["conversions"] * own["requests"]).sum(),
            "user_value_sum_squares": (own["value"] ** 2).sum(),
            "user_value_requests_sum_products": (own["value"] * own["requests"]).sum(),
            "user_requests_sum_sixteenth_powers": (own["requests"] ** 16).sum(),
        }
        assert {name: found[name].sum() for name in expected} == pytest.approx(expected, rel=1e-9)


def test_users_follow_the_declared_split() -> None:
    dealt = _log().dealt(np.array([0.9, 0.1]), 20, np.random.default_rng(0))[0]
    users = dealt.groupby("variant_id", observed=True)["new_users"].sum().to_numpy().reshape(20, 2).sum(axis=0)
    assert users[1] / users.sum() == pytest.approx(0.1, abs=0.006)


def test_the_effect_that_a_treatment_had_is_dealt_away_and_the_promise_is_kept() -> None:
    found = simulate_like(_log(), (50, 50), experiments=300)
    contract, unattended = found.rules
    assert contract.share > 0.05
    assert contract.promised is None and contract.kept is None
    assert unattended.promised == pytest.approx(0.025)
    assert unattended.share <= 0.025
    assert unattended.lower <= unattended.share <= unattended.upper


def test_a_seed_gives_the_same_figures_and_memory_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(300)
    one = simulate_like(log, (50, 50), experiments=30, seed=4)
    monkeypatch.setattr("promotion_pipeline.simulation.like.CELLS_AT_ONCE", 7 * 2 * HOURS)
    assert simulate_like(log, (50, 50), experiments=30, seed=4) == one


def test_the_deal_goes_through_the_whole_rule_with_its_thresholds() -> None:
    strict = simulate_like(_log(), (50, 50), experiments=100, config=PromotionConfig(min_improvement_percent=1000))
    assert [rule.promoted for rule in strict.rules] == [0, 0]
    open_to_all = PromotionConfig(evidence=Evidence.FIXED_HORIZON)
    contract, unattended = simulate_like(_log(), (50, 50), experiments=100, config=open_to_all).rules
    assert unattended.promoted >= contract.promoted * 0.9 and unattended.promised is None
    planned = simulate_like(_log(), (50, 50), experiments=50, config=PromotionConfig(planned_sample_size=18_000))
    assert [rule.rule for rule in planned.rules][-1] is PromotionRule.GROUP_SEQUENTIAL


def test_a_dealt_log_is_judged_by_user() -> None:
    dealt = _log().dealt(np.array([0.5, 0.5]), 2, np.random.default_rng(0))[0]
    decisions = evaluate(dealt, experiments_with((50.0, 50.0), 2)).decisions
    assert set(decisions["analysis_unit"].astype(str).iloc[-2:]) == {"user"}


@pytest.mark.parametrize(
    ("promoted", "of", "kept"),
    [(0, 100, "undecided"), (0, 500, "kept"), (30, 500, "broken"), (12, 500, "undecided")],
)
def test_a_promise_is_kept_broken_or_not_known_yet(promoted: int, of: int, kept: str) -> None:
    arm = np.where(np.arange(of) < promoted, 1, -1)
    outcomes = Outcomes(arm, np.where(arm > 0, 60.0, np.nan), np.where(arm > 0, 0.1, np.nan))
    found = false_promotions(PromotionRule.UNATTENDED, outcomes, PromotionConfig())
    assert found.kept is PromiseKept(kept)
    assert found.to_json()["kept"] == kept


def test_a_log_of_few_users_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"19 users are too few.*map its user_id"):
        _log(19)
    with pytest.raises(InputError, match="experiments=0"):
        simulate_like(_log(100), (50, 50), experiments=0)
