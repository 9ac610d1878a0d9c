"""Intervals of the absolute difference of two proportions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    Interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    score_z,
    wald_difference_interval,
    wilson_interval,
)
from promotion_pipeline_tests.statistics.strategies import Arms, alphas, arms

Method = Callable[..., Interval]
METHODS = [newcombe_interval, wald_difference_interval, miettinen_nurminen_interval]
every_method = pytest.mark.parametrize("method", METHODS)
SCORE_METHODS = [newcombe_interval, miettinen_nurminen_interval]


@every_method
@given(drawn=arms(largest=10_000), alpha=alphas())
@settings(max_examples=50)
def test_the_interval_contains_the_difference(method: Method, drawn: Arms, alpha: float) -> None:
    x0, n0, x1, n1 = drawn
    interval = method(*drawn, alpha)
    assert interval.lower <= x1 / n1 - x0 / n0 <= interval.upper


@every_method
@given(drawn=arms(largest=10_000), alpha=alphas())
@settings(max_examples=50)
def test_swapping_the_arms_mirrors_the_interval(method: Method, drawn: Arms, alpha: float) -> None:
    x0, n0, x1, n1 = drawn
    there, back = method(x0, n0, x1, n1, alpha), method(x1, n1, x0, n0, alpha)
    assert there.lower == pytest.approx(-back.upper, abs=1e-9)
    assert there.upper == pytest.approx(-back.lower, abs=1e-9)


@pytest.mark.parametrize("method", SCORE_METHODS)
@given(n0=hs.integers(1, 1000), n1=hs.integers(1, 1000), all0=hs.booleans(), all1=hs.booleans())
@settings(max_examples=50)
def test_score_intervals_exist_at_rates_of_zero_and_one_and_stay_in_range(
    method: Method, n0: int, n1: int, all0: bool, all1: bool
) -> None:
    interval = method(n0 * all0, n0, n1 * all1, n1, 0.05)
    assert -1.0 <= interval.lower <= all1 - all0 <= interval.upper <= 1.0
    assert interval.lower < interval.upper


def test_the_wald_interval_of_two_rates_of_zero_is_nan_and_not_a_point() -> None:
    interval = wald_difference_interval(0, 1000, 0, 1000, 0.05)
    assert np.isnan(interval.lower)
    assert np.isnan(interval.upper)


@every_method
def test_impossible_counts_are_nan(method: Method) -> None:
    interval = method([0, 11, -1, np.nan], [0, 10, 10, 10], 5, 10, 0.05)
    assert np.isnan(interval.lower).all()
    assert np.isnan(interval.upper).all()


def test_wilson_agrees_with_statsmodels() -> None:
    # statsmodels 0.15.0 proportion_confint([3, 0], 40, method="wilson")
    interval = wilson_interval([3, 0], 40, 0.05)
    np.testing.assert_allclose(interval.lower, [0.025836025774588184, 0.0], rtol=1e-12)
    np.testing.assert_allclose(interval.upper, [0.1986423352431055, 0.08762160119728668], rtol=1e-12)


@given(drawn=arms(largest=10_000), alpha=alphas())
@settings(max_examples=50)
def test_the_ends_of_the_score_interval_are_where_the_score_test_turns(drawn: Arms, alpha: float) -> None:
    interval = miettinen_nurminen_interval(*drawn, alpha)
    accepted = wald_difference_interval(*drawn, alpha)
    critical = (
        (accepted.upper - accepted.lower) / 2 / np.sqrt(sum(x * (n - x) / n**3 for x, n in (drawn[:2], drawn[2:])))
    )
    for end in (interval.lower, interval.upper):
        assert abs(score_z(*drawn, end)) == pytest.approx(critical, rel=1e-3)


def test_the_score_statistic_agrees_with_a_numerical_maximum_of_the_likelihood() -> None:
    # scipy 1.17.1 optimize.minimize_scalar over p0 of the likelihood of (20/1000, 22/1000) at a difference of 0.01
    assert score_z(20, 1000, 22, 1000, 0.01) == pytest.approx(-1.2228232758781012, abs=1e-6)
