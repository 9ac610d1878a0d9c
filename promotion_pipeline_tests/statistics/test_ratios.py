"""The ratio of two sums over users."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import proportion_variance_of_mean, ratio_of_sums

USERS = hs.lists(hs.tuples(hs.integers(0, 20), hs.integers(1, 30)), min_size=2, max_size=40)


def _sums(users: list[tuple[int, int]]) -> tuple[float, ...]:
    y, d = np.array(users, dtype=np.float64).T
    return len(users), y.sum(), (y * y).sum(), d.sum(), (d * d).sum(), (y * d).sum()


@given(USERS)
def test_the_variance_is_that_of_the_residuals_of_the_users(users: list[tuple[int, int]]) -> None:
    y, d = np.array(users, dtype=np.float64).T
    result = ratio_of_sums(*_sums(users))
    residuals = y - result.ratio * d
    assert result.ratio == y.sum() / d.sum()
    assert result.variance_of_ratio == pytest.approx(
        residuals.var(ddof=1) / d.mean() ** 2 / len(users), rel=1e-6, abs=1e-12
    )


@given(USERS, hs.integers(2, 9))
def test_requests_counted_k_times_over_change_only_the_scale(users: list[tuple[int, int]], k: int) -> None:
    once, more = ratio_of_sums(*_sums(users)), ratio_of_sums(*_sums([(y, k * d) for y, d in users]))
    assert more.ratio == pytest.approx(once.ratio / k, rel=1e-9)
    assert more.variance_of_ratio == pytest.approx(once.variance_of_ratio / k**2, rel=1e-6, abs=1e-12)


def test_one_request_a_user_is_the_binomial_variance_but_for_the_divisor() -> None:
    result = ratio_of_sums(1000, 50, 50, 1000, 1000, 50)
    assert result.variance_of_ratio == pytest.approx(proportion_variance_of_mean(50, 1000) * 1000 / 999, rel=1e-12)


def test_users_who_repeat_themselves_widen_the_variance() -> None:
    # 100 users, ten requests each, who either always or never convert: as much as 100 requests, not as 1,000.
    result = ratio_of_sums(100, 500, 5000, 1000, 10_000, 5000)
    assert result.variance_of_ratio == pytest.approx(0.25 / 99, rel=1e-12)


@pytest.mark.parametrize(
    "sums",
    [
        pytest.param((0, 0, 0, 0, 0, 0), id="no users"),
        pytest.param((1, 3, 9, 10, 100, 30), id="one user"),
        pytest.param((np.nan, 3, 9, 10, 100, 30), id="unknown users"),
    ],
)
def test_too_few_users_have_no_variance(sums: tuple[float, ...]) -> None:
    assert np.isnan(ratio_of_sums(*sums).variance_of_ratio)


def test_users_without_requests_have_no_ratio() -> None:
    assert np.isnan(ratio_of_sums(5, 0, 0, 0, 0, 0).ratio)
