"""Placeholders, bots and power users: never surer than the data allows, and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.evaluation import evaluate, explain, outlook
from promotion_pipeline.simulation import Scenario
from promotion_pipeline.simulation.rollups import GIANT_COLUMNS, experiments_of, rollups_of
from promotion_pipeline_tests.evaluation.builders import experiment, last, sums

POWER_SUM = "user_requests_sum_sixteenth_powers"
SHORT: dict[str, Any] = {"days": 6.0, "requests_per_hour": 150.0, "requests_per_user": 1.0}


def _arms(users: dict[str, list[tuple[int, int]]], *, powers: bool = True, **more: dict[str, int]) -> pd.DataFrame:
    """Rollups of one experiment out of (requests, conversions) of every user of each arm."""
    counts = {arm: (sum(d for d, _ in own), sum(y for _, y in own)) for arm, own in users.items()}
    rows = sums(counts)
    first = rows["requests"] > 0
    for arm, own in users.items():
        at = first & (rows["variant_id"] == f"button/{arm}")
        d, y = np.array(own, dtype=float).T
        columns = {
            "new_users": len(own),
            "user_requests": d.sum(),
            "user_conversions": y.sum(),
            "user_conversions_sum_squares": (y * y).sum(),
            "user_requests_sum_squares": (d * d).sum(),
            "user_conversions_requests_sum_products": (y * d).sum(),
            "crossed_users": more.get("crossed_users", {}).get(arm, 0),
        }
        if powers:
            columns |= {POWER_SUM: (d**16).sum(), "crossed_requests": more.get("crossed_requests", {}).get(arm, 0)}
        for name, value in columns.items():
            rows.loc[at, name] = float(value)
    return rows.fillna(0.0)


def _with_giant(requests: int, conversions: int) -> list[tuple[int, int]]:
    """One user with these, and a thousand of one request each of whom every tenth converts."""
    return [(requests, conversions), *((1, int(number % 10 == 0)) for number in range(1_000))]


GUESTS = {"control": _with_giant(9_000, 900), "variant-a": _with_giant(9_000, 1_170)}


def _width(rows: pd.DataFrame) -> float:
    found = last(evaluate(rows, experiment()).significance)
    return float(found["always_valid_upper"] - found["always_valid_lower"])


@pytest.mark.parametrize("powers", [True, False], ids=["all columns", "rollups from before"])
@pytest.mark.parametrize("requests", [10, 100, 500, 2_000])
def test_a_giant_user_never_makes_the_interval_narrower_than_independent_requests_do(
    requests: int, powers: bool
) -> None:
    rows = _arms({arm: _with_giant(requests, requests // 10) for arm in ("control", "variant-a")}, powers=powers)
    blind = rows[["experiment_id", "variant_id", "hour", "requests", "conversions", "errors"]]
    assert _width(rows) >= _width(blind)


@pytest.mark.parametrize("powers", [True, False], ids=["all columns", "rollups from before"])
def test_nothing_is_promoted_unattended_on_a_placeholder(powers: bool) -> None:
    decision = last(evaluate(_arms(GUESTS, powers=powers), experiment()).decisions)
    assert decision["is_eligible"] and not decision["is_promotable"]
    assert np.isnan(decision["lift_lower"])
    found = outlook(decision)
    assert found is not None
    assert any("one user made up to 90 % of an arm's requests" in need.message for need in found.needs)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_looking_every_hour_at_guests_promotes_no_more_non_winners_than_promised(share: float) -> None:
    """The standard error alone has to do it: what tells of multiple exposure is left out."""
    scenario = Scenario(**SHORT, guest_share=share)
    promoted = 0
    for batch in range(2):
        rollups = rollups_of(scenario, 100, np.random.default_rng([5, batch])).drop(columns=list(GIANT_COLUMNS))
        decisions = evaluate(rollups, experiments_of(scenario, 100)).decisions
        promoted += int(decisions.groupby("experiment_id", observed=True)["is_promotable"].any().sum())
    assert promoted <= 0.025 * 200


def test_a_user_with_more_than_a_hundredth_of_an_arm_is_told_with_the_share() -> None:
    users = {"control": _with_giant(1, 0), "variant-a": _with_giant(150, 15)}
    decision = last(evaluate(_arms(users), experiment()).decisions)
    assert "large_user" in decision["warnings"]
    assert decision["largest_user_share"] == pytest.approx(150 / 1_150, rel=1e-6)
    assert any("one user made up to 13.0 % of an arm's requests" in said for said in explain(decision).warnings)


def test_a_user_with_less_than_a_hundredth_is_not_told() -> None:
    users = {arm: _with_giant(9, 1) for arm in ("control", "variant-a")}
    decision = last(evaluate(_arms(users), experiment()).decisions)
    assert "large_user" not in decision["warnings"]
    assert np.isnan(decision["largest_user_share"])


def test_ordinary_users_are_judged_as_before() -> None:
    """Two requests a user: the user-level standard error of the lift, corrected by a quarter of a percent."""
    own = [(2, int(number % 5 == 0) + int(number % 7 == 0)) for number in range(4_000)]
    rows = _arms({"control": own, "variant-a": own})
    d, y = np.array(own, dtype=float).T
    residuals = y - y.sum() / d.sum() * d
    error = np.sqrt(2 * 4_000 / 3_999 * (residuals**2).sum()) / y.sum()
    found = last(evaluate(rows, experiment()).significance)
    assert found["lift_upper"] == pytest.approx(1.959964 * error, rel=3e-3)


def test_multiple_exposure_counts_requests_so_that_a_placeholder_is_not_one_user() -> None:
    users = {arm: _with_giant(200, 20) for arm in ("control", "variant-a")}
    rows = _arms(users, crossed_users={"variant-a": 1}, crossed_requests={"variant-a": 400})
    decision = last(evaluate(rows, experiment()).decisions)
    assert decision["multiple_exposure"] < 0.001
    assert decision["multiple_exposure_requests"] == pytest.approx(400 / 2_400)
    assert "multiple_exposure" in decision["warnings"]
    (said,) = (said for said in explain(decision).warnings if "several variants" in said)
    assert said.startswith("under 0.1 % of the users, who made 16.7 % of the requests, were served by several variants")


def test_values_of_users_that_an_import_does_not_know_are_taken_to_go_together() -> None:
    """Every user makes five requests worth the same: the sums of requests alone say five times too little."""
    rng = np.random.default_rng(3)
    rows = _arms({arm: [(5, 1)] * 2_000 for arm in ("control", "variant-a")})
    for arm in ("control", "variant-a"):
        worth = rng.exponential(2.0, 2_000)
        at = (rows["variant_id"] == f"button/{arm}") & (rows["requests"] > 0)
        known = {"user_value_sum_squares": 25 * (worth**2).sum(), "user_value_requests_sum_products": 25 * worth.sum()}
        for name, value in {"value_sum": 5 * worth.sum(), "value_sum_squares": 5 * (worth**2).sum(), **known}.items():
            rows.loc[at, name] = value
    rows = rows.fillna(0.0)
    metric = experiment(primary_metric="value_mean")
    exact = last(evaluate(rows, metric).significance)
    users = ["user_value_sum_squares", "user_value_requests_sum_products"]
    for imported in (rows.drop(columns=users), rows.assign(**dict.fromkeys(users, 0.0))):
        found = last(evaluate(imported, metric).significance)
        assert found["lift_upper"] - found["lift"] == pytest.approx(exact["lift_upper"] - exact["lift"], rel=2e-3)


def test_a_placeholder_does_not_hide_a_broken_split_of_its_requests() -> None:
    users = {"control": _with_giant(4_000, 400), "variant-a": _with_giant(6_000, 600)}
    rows = _arms(users, crossed_users={"variant-a": 1}, crossed_requests={"variant-a": 10_000})
    decision = last(evaluate(rows, experiment()).decisions)
    assert decision["srm_p_value"] < 1e-6
    assert "sequential_sample_ratio_mismatch" in decision["warnings"]


def test_two_power_users_of_one_arm_each_are_no_broken_split() -> None:
    users = {"control": _with_giant(400, 40), "variant-a": _with_giant(900, 90)}
    assert last(evaluate(_arms(users), experiment()).decisions)["srm_p_value"] == 1.0
