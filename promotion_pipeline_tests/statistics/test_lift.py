"""The relative lift and its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    StatisticsError,
    delta_interval,
    katz_interval,
    proportion,
    proportion_lift_interval,
    proportion_variance_of_mean,
    relative_lift,
)
from promotion_pipeline_tests.statistics.strategies import Arms, alphas, arms


def _lift(drawn: Arms):  # type: ignore[no-untyped-def]
    x0, n0, x1, n1 = drawn
    return relative_lift(
        proportion(x0, n0), proportion_variance_of_mean(x0, n0), proportion(x1, n1), proportion_variance_of_mean(x1, n1)
    )


@given(arms(), alphas())
def test_both_intervals_contain_the_lift(drawn: Arms, alpha: float) -> None:
    lift = _lift(drawn)
    for interval in (delta_interval(lift.lift, lift.standard_error, alpha), katz_interval(*drawn, alpha)):
        assert interval.lower < lift.lift < interval.upper


@given(arms(), alphas(0.1))
def test_a_smaller_alpha_widens_the_interval(drawn: Arms, alpha: float) -> None:
    wide, narrow = katz_interval(*drawn, alpha), katz_interval(*drawn, 2 * alpha)
    assert wide.lower < narrow.lower
    assert wide.upper > narrow.upper


@given(arms(), alphas())
def test_swapping_the_arms_inverts_the_katz_interval(drawn: Arms, alpha: float) -> None:
    x0, n0, x1, n1 = drawn
    there, back = katz_interval(x0, n0, x1, n1, alpha), katz_interval(x1, n1, x0, n0, alpha)
    assert (1 + there.lower) * (1 + back.upper) == pytest.approx(1.0, rel=1e-6)


@given(
    hs.floats(0.1, 100),
    hs.floats(0.001, 10),
    hs.floats(0.1, 100),
    hs.floats(0.001, 10),
    hs.sampled_from([1e-3, 60, 1e6]),
)
def test_a_change_of_unit_changes_no_lift(m0: float, v0: float, m1: float, v1: float, unit: float) -> None:
    lift, other = relative_lift(m0, v0, m1, v1), relative_lift(m0 * unit, v0 * unit**2, m1 * unit, v1 * unit**2)
    assert other.lift == pytest.approx(lift.lift, rel=1e-9, abs=1e-12)
    assert other.standard_error == pytest.approx(lift.standard_error, rel=1e-9)


def test_an_increase_from_a_negative_mean_is_a_positive_lift() -> None:
    assert relative_lift(-10.0, 1.0, -5.0, 1.0).lift == 0.5


def test_a_control_mean_of_zero_has_no_lift() -> None:
    lift = relative_lift(0.0, 0.1, 1.0, 0.1)
    assert np.isnan(lift.lift)
    assert np.isnan(lift.standard_error)


def test_no_variance_at_all_is_not_taken_for_certainty() -> None:
    lift = relative_lift(1.0, 0.0, 1.1, 0.0)
    assert lift.lift == pytest.approx(0.1)
    assert np.isnan(lift.standard_error)
    assert np.isnan(delta_interval(0.1, 0.0, 0.05).lower)


def test_katz_agrees_with_statsmodels() -> None:
    # statsmodels 0.15.0 confint_proportions_2indep(30, 900, 20, 1000, compare="ratio", method="log"), minus 1
    interval = katz_interval(20, 1000, 30, 900, 0.05)
    assert interval.lower == pytest.approx(0.9533677526928169 - 1, rel=1e-9)
    assert interval.upper == pytest.approx(2.9136477187652483 - 1, rel=1e-9)


@pytest.mark.parametrize("counts", [(0, 10, 5, 10), (5, 10, 0, 10), (10, 10, 10, 10), (5, 0, 5, 10), (11, 10, 5, 10)])
def test_katz_is_nan_where_a_log_is_not_computable(counts: tuple[int, int, int, int]) -> None:
    interval = katz_interval(*counts, 0.05)
    assert np.isnan(interval.lower)
    assert np.isnan(interval.upper)


def test_the_interval_of_two_proportions_is_katz_as_soon_as_one_count_is_under_50() -> None:
    x1 = np.array([49, 50])
    chosen, katz = proportion_lift_interval(60, 1000, x1, 1000, 0.05), katz_interval(60, 1000, x1, 1000, 0.05)
    lift = _lift(Arms(60, 1000, x1, 1000))  # type: ignore[arg-type]
    delta = delta_interval(lift.lift, lift.standard_error, 0.05)
    np.testing.assert_array_equal(chosen.lower, [katz.lower[0], delta.lower[1]])
    np.testing.assert_array_equal(chosen.upper, [katz.upper[0], delta.upper[1]])


def test_the_interval_of_two_proportions_takes_one_alpha_an_experiment() -> None:
    alpha = np.array([[0.05], [0.01]])
    interval = proportion_lift_interval([[20], [500]], 10_000, [30, 600], 10_000, alpha)
    assert interval.lower.shape == (2, 2)
    assert interval.lower[1, 1] == proportion_lift_interval(500, 10_000, 600, 10_000, 0.01).lower
    assert interval.lower[0, 0] == proportion_lift_interval(20, 10_000, 30, 10_000, 0.05).lower


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.05, 5.0])
def test_an_alpha_outside_its_range_is_refused_with_value_and_bound(alpha: float) -> None:
    with pytest.raises(StatisticsError, match=rf"alpha is {alpha:g}, but must lie strictly between 0 and 1"):
        delta_interval(0.1, 0.02, alpha)


def test_one_bad_alpha_among_many_is_named() -> None:
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        katz_interval(1, 10, 2, 10, [0.05, 1.5])
