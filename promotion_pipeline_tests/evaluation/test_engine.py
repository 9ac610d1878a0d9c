"""What holds for the engine as a whole: cumulative sums, phases, users, and independence of the hours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.statistics import always_valid_interval
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}


def _random(
    seed: int, hours: int = 60, arms: tuple[str, ...] = ("control", "a", "b"), name: str = "button"
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(hours), arms], names=["hour", "arm"]).to_frame(index=False)
    requests = rng.poisson(80, len(index))
    return pd.DataFrame(
        {
            "experiment_id": name,
            "variant_id": [f"{name}/{arm}" for arm in index["arm"]],
            "hour": START + pd.to_timedelta(index["hour"], unit="h"),
            "requests": requests,
            "conversions": rng.binomial(requests, 0.1),
            "errors": rng.binomial(requests, 0.01),
            "latency_ms_sum": requests * 100.0,
        }
    )


THREE = experiment(arms=("control", "a", "b"))


def test_metrics_are_cumulative_from_the_start_of_the_phase() -> None:
    own = _random(1)
    metrics = evaluate(own, THREE).metrics
    by_hand = own.sort_values("hour").groupby("variant_id")[["requests", "conversions"]].cumsum()
    merged = own.assign(**by_hand).merge(metrics, on=["hour", "variant_id"], suffixes=("_hand", ""))
    assert len(merged) == len(own)
    assert (merged["requests_hand"] == merged["requests"]).all()
    assert (merged["conversions"] / merged["requests"] == merged["conversion_rate"]).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), hour=st.integers(0, 59))
def test_an_hour_alone_is_decided_as_within_a_backfill(seed: int, hour: int) -> None:
    own = _random(seed)
    at = START + pd.Timedelta(hours=hour)
    alone = evaluate(own, THREE, hours=[at]).decisions
    whole = evaluate(own, THREE).decisions
    assert_frame_equal(whole[whole["hour"] == at].reset_index(drop=True), alone, check_exact=True)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_may_come_in_any_order_and_be_split(seed: int) -> None:
    own = _random(seed)
    halves = own.copy()
    counts = ["requests", "conversions", "errors"]
    halves[counts] = own[counts] // 2
    rest = own.copy()
    rest[counts] = own[counts] - halves[counts]
    halves["latency_ms_sum"], rest["latency_ms_sum"] = own["latency_ms_sum"], 0.0
    shuffled = pd.concat([halves, rest]).sample(frac=1, random_state=seed)
    assert_frame_equal(evaluate(shuffled, THREE).decisions, evaluate(own, THREE).decisions)


def test_blocks_of_experiments_give_the_same_frames_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"e{number}" for number in range(7)]
    own = pd.concat([_random(number, name=name) for number, name in enumerate(names)]).sample(frac=1, random_state=1)
    frame = pd.concat([experiment(name, arms=("control", "a", "b")) for name in names])
    whole = evaluate(own, frame)
    monkeypatch.setattr("promotion_pipeline.evaluation.sums.CELLS_PER_BLOCK", 500)
    parts = evaluate(own, frame)
    for name in ("metrics", "significance", "decisions"):
        assert_frame_equal(getattr(whole, name), getattr(parts, name))


def test_there_is_one_row_per_key() -> None:
    own = pd.concat([_random(1), _random(2, name="other", arms=("control", "a"))])
    result = evaluate(own, pd.concat([THREE, experiment("other", arms=("control", "a"))]))
    assert not result.decisions.duplicated(["hour", "experiment_id"]).any()
    assert not result.significance.duplicated(["hour", "experiment_id", "variant_id"]).any()
    assert (len(result.decisions), len(result.significance), len(result.metrics)) == (120, 180, 300)


def test_each_phase_is_judged_on_its_own_rows() -> None:
    change = START + pd.Timedelta(hours=30)
    first = experiment(split=[90, 10]).assign(phase_id="p1", ended_at=change)
    second = experiment(started_at=change).assign(
        phase_id="p2", ended_at=pd.Series([pd.NaT] * 2, dtype="datetime64[us, UTC]")
    )
    early = sums({"control": (9_000, 900), "variant-a": (1_000, 100)}, hours=30, phase_id="p1")
    later = sums(GOOD, start=change, hours=60, phase_id="p2")
    decisions = evaluate(pd.concat([early, later]), pd.concat([first, second])).decisions
    assert len(decisions) == 90
    assert (decisions["phase_id"] == ["p1"] * 30 + ["p2"] * 60).all()
    assert decisions["sample_size"].iloc[-1] == 10_000
    assert decisions["runtime_hours"].iloc[-1] == 60
    assert decisions["srm_p_value"].iloc[29] == 1.0


def test_an_ended_experiment_has_no_decision_after_its_end() -> None:
    ended = experiment().assign(ended_at=START + pd.Timedelta(hours=50))
    assert len(evaluate(sums(GOOD), ended).decisions) == 50


def test_rows_of_before_the_start_are_not_counted() -> None:
    late = experiment(started_at=START + pd.Timedelta(hours=10))
    assert last(evaluate(sums(GOOD), late).decisions)["reasons"] == ("no_rows",)


def test_phases_in_one_frame_only_are_refused() -> None:
    with pytest.raises(InputError, match="phase_id"):
        evaluate(sums(GOOD), experiment().assign(phase_id="p1"))


def test_the_always_valid_interval_follows_its_formula_with_the_traffic_of_the_first_48_hours() -> None:
    own = _random(3, arms=("control", "a"))
    row = evaluate(own, experiment(arms=("control", "a"))).significance.iloc[-1]
    total = own.groupby("variant_id")[["requests", "conversions"]].sum()
    first = own[own["hour"] < START + pd.Timedelta(hours=48)]["requests"].sum()
    n, x = total["requests"].to_numpy(), total["conversions"].to_numpy()
    rate = x / n
    control, treatment = rate[1], rate[0]
    v0, v1 = control * (1 - control) / n[1], treatment * (1 - treatment) / n[0]
    log_ratio = np.log(treatment / control)
    by_log = v0 / control**2 + v1 / treatment**2
    by_difference = (v0 + v1) * (log_ratio / (treatment - control)) ** 2
    sequence = always_valid_interval(log_ratio, np.sqrt(max(by_log, by_difference)), n.sum(), 3.5 * first, 0.05)
    assert 3.5 * first > 5000
    assert (row["always_valid_lower"], row["always_valid_upper"]) == pytest.approx(
        (np.expm1(sequence.lower), np.expm1(sequence.upper)), abs=1e-14
    )


def test_a_planned_sample_size_tunes_the_interval() -> None:
    tuned = [
        last(evaluate(sums(GOOD), experiment(), config=_config(planned)).decisions)["lift_lower"]
        for planned in (None, 1_000_000)
    ]
    assert tuned[0] != tuned[1]


def _config(planned: int | None):  # type: ignore[no-untyped-def]
    from promotion_pipeline.config import PromotionConfig

    return PromotionConfig(planned_sample_size=planned)


def test_a_level_shared_by_several_treatments_makes_the_interval_wider() -> None:
    counts = GOOD | {"variant-b": (10_000, 1_000)}
    two = last(evaluate(sums(GOOD), experiment()).decisions)
    three = last(evaluate(sums(counts), experiment(arms=("control", "variant-a", "variant-b"))).decisions)
    assert three["lift_lower"] < two["lift_lower"]


def test_holm_adjusts_over_the_treatments_of_an_experiment() -> None:
    significance = evaluate(_random(4), THREE).significance
    newest = significance[significance["hour"] == significance["hour"].max()].sort_values("p_value")
    smaller, larger = newest["p_value"]
    assert newest["adjusted_p_value"].tolist() == pytest.approx([min(1, 2 * smaller), max(min(1, 2 * smaller), larger)])


USERS = {
    "new_users": 2_000,
    "user_requests": 10_000,
    "user_conversions": 0,
    "user_conversions_sum_squares": 0,
    "user_requests_sum_squares": 50_000,
    "user_conversions_requests_sum_products": 0,
}


def _by_users(conversions: dict[str, int]) -> pd.DataFrame:
    """2,000 users with 5 requests each; a converting user converts at every request."""
    own = sums({arm: (10_000, count) for arm, count in conversions.items()})
    for name, value in USERS.items():
        own[name] = np.where(own["requests"] > 0, value, 0)
    own["user_conversions"] = own["conversions"]
    own["user_conversions_sum_squares"] = own["conversions"] * 5
    own["user_conversions_requests_sum_products"] = own["conversions"] * 5
    return own


def test_known_users_widen_the_always_valid_interval_and_leave_the_contract_alone() -> None:
    by_user = last(evaluate(_by_users({"control": 1_000, "variant-a": 1_300}), experiment()).decisions)
    by_request = last(evaluate(sums(GOOD), experiment()).decisions)
    assert (by_user["analysis_unit"], by_request["analysis_unit"]) == ("user", "request")
    assert by_user["z"] == by_request["z"]
    width, at_request_level = (
        np.log1p(row["lift_upper"]) - np.log1p(row["lift_lower"]) for row in (by_user, by_request)
    )
    # Perfect correlation within a user: the variance is five times that of independent requests, K/(K-1) apart.
    assert width / at_request_level == pytest.approx(np.sqrt(5), rel=1e-3)
    assert "request_level" in by_request["warnings"]
    assert "request_level" not in by_user["warnings"]


def test_the_sample_ratio_is_tested_on_users_where_they_are_known() -> None:
    own = _by_users({"control": 1_000, "variant-a": 1_300})
    own.loc[own["variant_id"] == "button/control", "new_users"] = own["new_users"] * 1.2
    assert last(evaluate(own, experiment()).decisions)["srm_p_value"] < 0.001


def test_an_attribution_window_judges_only_matured_requests() -> None:
    own = _random(5, arms=("control", "a"))
    matured = evaluate(own, experiment(arms=("control", "a"), attribution_window_hours=12.0)).metrics
    usual = evaluate(own, experiment(arms=("control", "a"))).metrics
    shifted = usual.assign(hour=usual["hour"] + pd.Timedelta(hours=12))
    both = matured.merge(shifted, on=["hour", "variant_id"], suffixes=("", "_of_then"))
    assert len(both) == 2 * 48
    assert (both["requests"] == both["requests_of_then"]).all()
    assert matured[matured["hour"] < START + pd.Timedelta(hours=12)]["requests"].eq(0).all()
