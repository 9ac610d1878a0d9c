"""Metrics beyond conversion, guardrails by name, and users who saw several variants."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.statistics import welch
from promotion_pipeline_tests.evaluation.builders import experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}


def _with(own: pd.DataFrame, **columns: dict[str, float]) -> pd.DataFrame:
    """Sums of the first hour by arm, zero in the others."""
    frame = own.copy()
    arm = frame["variant_id"].str.split("/").str[1]
    for name, by_arm in columns.items():
        frame[name] = np.where(frame["requests"] > 0, arm.map(by_arm), 0.0)
    return frame


VALUE = _with(
    sums(GOOD),
    value_sum={"control": 50_000.0, "variant-a": 56_000.0},
    value_sum_squares={"control": 400_000.0, "variant-a": 470_000.0},
)


def test_the_mean_of_value_is_judged_by_the_z_test_on_means() -> None:
    decision = last(evaluate(VALUE, experiment(primary_metric="value_mean")).decisions)
    by_hand = welch(10_000, 50_000.0, 400_000.0, 10_000, 56_000.0, 470_000.0, "absolute", 0.05)
    assert decision["improvement"] == pytest.approx(12.0)
    # Welch's t on 20,000 observations and the z-test agree to the fourth digit of z.
    assert decision["z"] == pytest.approx(float((5.6 - 5.0) / by_hand.standard_error), rel=1e-9)
    assert decision["is_promotable"]


def test_where_less_is_better_a_fall_is_the_improvement() -> None:
    more = last(evaluate(VALUE, experiment(primary_metric="value_mean")).decisions)
    less = last(evaluate(VALUE, experiment(primary_metric="value_mean", direction="decrease")).decisions)
    assert less["z"] == -more["z"]
    assert (less["lift_lower"], less["lift_upper"]) == (-more["lift_upper"], -more["lift_lower"])
    assert less["verdict"] == "rejected"
    fewer = {"control": (10_000, 1_300), "variant-a": (10_000, 1_000)}
    churn = last(evaluate(sums(fewer), experiment(direction="decrease")).decisions)
    assert churn["is_promotable"]
    assert churn["improvement"] == pytest.approx(100 * 3 / 13)


def test_a_metric_that_was_not_measured_is_inconclusive() -> None:
    for metric in ("value_mean", "value_per_user"):
        decision = last(evaluate(sums(GOOD), experiment(primary_metric=metric)).decisions)
        assert (decision["verdict"], decision["reasons"]) == ("inconclusive", ("metric_missing",))


def test_value_per_user_divides_by_users() -> None:
    both = dict.fromkeys(("control", "variant-a"), 2_000.0)
    own = _with(
        VALUE,
        new_users=both,
        user_requests=dict.fromkeys(both, 10_000.0),
        user_conversions={"control": 1_000.0, "variant-a": 1_300.0},
        user_conversions_sum_squares={"control": 1_000.0, "variant-a": 1_300.0},
        user_requests_sum_squares=dict.fromkeys(both, 50_000.0),
        user_conversions_requests_sum_products={"control": 5_000.0, "variant-a": 6_500.0},
        user_value_sum_squares={"control": 1_500_000.0, "variant-a": 1_800_000.0},
        user_value_requests_sum_products={"control": 250_000.0, "variant-a": 280_000.0},
    )
    decision = last(evaluate(own, experiment(primary_metric="value_per_user")).decisions)
    variance = [(s - 2_000 * m**2) / 1_999 / 2_000 for s, m in ((1_500_000, 25.0), (1_800_000, 28.0))]
    assert decision["improvement"] == pytest.approx(12.0)
    assert decision["z"] == pytest.approx(3.0 / np.sqrt(sum(variance)), rel=1e-12)


def test_more_errors_break_a_named_guardrail_and_withhold_only_the_unattended_promotion() -> None:
    own = _with(sums(GOOD), errors={"control": 100.0, "variant-a": 250.0})
    free = last(evaluate(own, experiment()).decisions)
    guarded = last(evaluate(own, experiment(guardrails=[("error_rate",)] * 2)).decisions)
    assert free["is_promotable"]
    assert guarded["is_eligible"]
    assert not guarded["is_promotable"]
    assert "guardrail" in guarded["warnings"]


def test_the_latency_guardrail_wants_latency_shown_acceptable() -> None:
    quick = {"control": 100.0 * 10_000, "variant-a": 105.0 * 10_000}
    slow = {"control": 100.0 * 10_000, "variant-a": 119.9 * 10_000}
    squares = dict.fromkeys(quick, 12_500.0 * 10_000)
    named = experiment(guardrails=[("latency",)] * 2)
    for totals, kept in ((quick, True), (slow, False)):
        own = _with(
            sums(GOOD),
            latency_ms_sum=totals,
            latency_ms_sum_squares=squares if kept else {"control": 12_500.0 * 10_000, "variant-a": 16_000.0 * 10_000},
        )
        assert last(evaluate(own, named).decisions)["is_promotable"] is np.bool_(kept)
    assert not last(evaluate(sums(GOOD), named).decisions)["is_promotable"]


@pytest.mark.parametrize(("crossed", "warned", "promotable"), [(10, False, True), (50, True, True), (400, True, False)])
def test_users_in_several_variants_warn_above_one_percent_and_withhold_above_ten(
    crossed: int, warned: bool, promotable: bool
) -> None:
    both = dict.fromkeys(("control", "variant-a"), 1_500.0)
    own = _with(
        sums(GOOD),
        new_users=both,
        user_requests=dict.fromkeys(both, 10_000.0),
        user_conversions={"control": 1_000.0, "variant-a": 1_300.0},
        user_conversions_sum_squares={"control": 1_000.0, "variant-a": 1_300.0},
        user_requests_sum_squares=dict.fromkeys(both, 70_000.0),
        user_conversions_requests_sum_products={"control": 6_000.0, "variant-a": 8_000.0},
        crossed_users={"control": 0.0, "variant-a": float(crossed)},
    )
    decision = last(evaluate(own, experiment()).decisions)
    assert ("multiple_exposure" in decision["warnings"]) is warned
    assert bool(decision["is_promotable"]) is promotable
    assert decision["is_eligible"]
