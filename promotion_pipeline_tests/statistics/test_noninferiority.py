"""Not worse than a margin, and certainly worse than a margin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    StatisticsError,
    always_valid_harm_p_value,
    always_valid_one_sided_interval,
    noninferiority_means,
    noninferiority_z,
    two_proportion_z,
)
from promotion_pipeline_tests.statistics.strategies import Arms, arms


def test_where_higher_is_better_it_agrees_with_statsmodels() -> None:
    # statsmodels 0.15.0 test_proportions_2indep(480, 10000, 500, 10000, value=-0.005, method="wald",
    # alternative="larger")
    test = noninferiority_z(500, 10_000, 480, 10_000, 0.005, higher_is_better=True)
    assert test.z == pytest.approx(0.9827037614104481, rel=1e-9)
    assert test.p_value == pytest.approx(0.16287662946877468, rel=1e-9)


@given(arms())
def test_a_margin_of_zero_is_the_one_sided_unpooled_test(drawn: Arms) -> None:
    assert noninferiority_z(*drawn, 0.0).z == two_proportion_z(*drawn, method="unpooled").z


@given(arms(), hs.floats(0, 0.5), hs.sampled_from(["wald", "score"]))
def test_counting_failures_mirrors_the_question(drawn: Arms, margin: float, method: str) -> None:
    x0, n0, x1, n1 = drawn
    errors = noninferiority_z(x0, n0, x1, n1, margin, method=method)  # type: ignore[arg-type]
    successes = noninferiority_z(
        n0 - x0,
        n0,
        n1 - x1,
        n1,
        margin,
        higher_is_better=True,
        method=method,  # type: ignore[arg-type]
    )
    assert successes.p_value == pytest.approx(errors.p_value, rel=1e-4, abs=1e-6)


@given(arms(largest=10_000), hs.floats(0, 0.2), hs.floats(0.001, 0.2))
def test_a_wider_margin_is_easier_to_meet(drawn: Arms, margin: float, more: float) -> None:
    assert noninferiority_z(*drawn, margin + more).p_value <= noninferiority_z(*drawn, margin).p_value


def test_arms_without_failures_have_no_wald_test() -> None:
    assert np.isnan(noninferiority_z(0, 1000, 0, 1000, 0.01).p_value)


@pytest.mark.parametrize("higher", [True, False])
def test_the_bound_of_the_means_lies_on_the_harmful_side(higher: bool) -> None:
    test = noninferiority_means(5000, 10021.0, 25142.0, 5000, 9892.0, 24510.0, 0.02, 0.05, higher_is_better=higher)
    assert (test.bound < test.difference) == higher


def test_without_a_margin_the_means_are_tested_by_a_one_sided_welch() -> None:
    # scipy 1.17.1 ttest_ind_from_stats(11, 2, 40, 10, 3, 25, equal_var=False, alternative="greater").pvalue
    control, treatment = (25, 250.0, 24 * 9.0 + 2500.0), (40, 440.0, 39 * 4.0 + 40 * 121.0)
    test = noninferiority_means(*control, *treatment, 0.0)
    assert test.p_value == pytest.approx(0.07436765115468101, rel=1e-9)


def test_the_margin_of_a_negative_mean_is_a_loss_too() -> None:
    # From -10 to -10.5 is 5 % worse where higher is better: tolerable at a margin of 10 %, not at one of 2 %.
    control, treatment = (1000, -10_000.0, 100_500.0), (1000, -10_500.0, 110_750.0)
    assert noninferiority_means(*control, *treatment, 0.10).p_value < 0.01
    assert noninferiority_means(*control, *treatment, 0.02).p_value > 0.99


@given(hs.floats(-0.2, 0.2), hs.floats(0.001, 0.1), hs.floats(0, 0.1))
def test_harm_is_certain_exactly_when_the_one_sided_interval_lies_beyond_the_margin(
    estimate: float, error: float, margin: float
) -> None:
    p_value = always_valid_harm_p_value(estimate, error, 10_000, 5000, 0.05, margin=margin)
    lower = always_valid_one_sided_interval(estimate, error, 10_000, 5000, 0.05).lower
    if abs(lower - margin) > 1e-9:
        assert (p_value <= 0.05) == bool(lower > margin)


def test_a_fall_harms_where_higher_is_better() -> None:
    assert always_valid_harm_p_value(-0.1, 0.01, 10_000, 5000, 0.05, higher_is_better=True) < 1e-6
    assert always_valid_harm_p_value(-0.1, 0.01, 10_000, 5000, 0.05) == 1.0


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(StatisticsError, match=r"margin is -0\.01, but must be 0 or above"):
        noninferiority_z(1, 10, 1, 10, -0.01)
