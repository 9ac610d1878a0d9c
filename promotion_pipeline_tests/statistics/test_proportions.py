"""The z-test of two proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, proportion, proportion_variance_of_mean, two_proportion_z
from promotion_pipeline_tests.statistics.strategies import Arms, arms


@given(arms())
def test_swapping_the_arms_flips_z_and_keeps_the_p_value(drawn: Arms) -> None:
    x0, n0, x1, n1 = drawn
    there, back = two_proportion_z(x0, n0, x1, n1), two_proportion_z(x1, n1, x0, n0)
    assert there.z == -back.z
    assert there.p_value == back.p_value


@given(arms())
def test_counting_failures_instead_of_conversions_flips_z(drawn: Arms) -> None:
    x0, n0, x1, n1 = drawn
    failures = two_proportion_z(n0 - x0, n0, n1 - x1, n1)
    assert failures.z == pytest.approx(-two_proportion_z(x0, n0, x1, n1).z, rel=1e-6, abs=1e-9)


@given(arms(largest=10_000), hs.integers(2, 50))
def test_the_same_rates_on_k_times_the_traffic_multiply_z_by_root_k(drawn: Arms, k: int) -> None:
    z = two_proportion_z(*drawn).z
    more = two_proportion_z(*(k * value for value in drawn)).z
    assert more == pytest.approx(np.sqrt(k) * z, rel=1e-9, abs=1e-9)


@given(arms())
def test_the_unpooled_z_is_never_closer_to_zero_with_equal_arms(drawn: Arms) -> None:
    x0, n0, x1, _ = drawn
    x1 = min(x1, n0 - 1)
    pooled, unpooled = (two_proportion_z(x0, n0, x1, n0, method=method).z for method in ("pooled", "unpooled"))
    assert abs(unpooled) >= abs(pooled) * (1 - 1e-9)


def test_a_difference_of_the_whole_range_keeps_its_p_value_in_full_precision() -> None:
    # statsmodels 0.15.0 proportions_ztest([700, 300], [1000, 1000])
    test = two_proportion_z(300, 1000, 700, 1000)
    assert test.z == pytest.approx(17.888543819998315, rel=1e-12)
    assert test.p_value == pytest.approx(1.4484424372737359e-71, rel=1e-9, abs=0)


def test_a_z_of_82_does_not_overflow() -> None:
    # statsmodels 0.15.0 proportions_ztest([9000, 1000], [100000, 100000])
    test = two_proportion_z(1000, 100_000, 9000, 100_000)
    assert test.z == pytest.approx(82.07826816681232, rel=1e-12)
    assert test.p_value == 0.0


@pytest.mark.parametrize(
    ("x0", "n0", "x1", "n1"),
    [
        pytest.param(0, 0, 5, 10, id="control without requests"),
        pytest.param(5, 10, 0, 0, id="treatment without requests"),
        pytest.param(0, 10, 0, 10, id="nobody converted"),
        pytest.param(10, 10, 10, 10, id="everybody converted"),
        pytest.param(11, 10, 5, 10, id="more conversions than requests"),
        pytest.param(-1, 10, 5, 10, id="negative conversions"),
        pytest.param(5, -10, 5, 10, id="negative requests"),
        pytest.param(np.nan, 10, 5, 10, id="unknown conversions"),
        pytest.param(5, np.nan, 5, 10, id="unknown requests"),
        pytest.param(5, np.inf, 5, np.inf, id="infinite requests"),
    ],
)
@pytest.mark.parametrize("method", ["pooled", "unpooled"])
def test_what_cannot_be_compared_is_nan(x0: float, n0: float, x1: float, n1: float, method: str) -> None:
    test = two_proportion_z(x0, n0, x1, n1, method=method)  # type: ignore[arg-type]
    assert np.isnan(test.z)
    assert np.isnan(test.p_value)


def test_arrays_broadcast_as_in_numpy() -> None:
    test = two_proportion_z(np.full((4, 1), 50), 1000, np.arange(60, 63), 1000)
    assert test.z.shape == test.p_value.shape == (4, 3)
    assert test.z[2, 1] == two_proportion_z(50, 1000, 61, 1000).z


def test_an_unknown_method_is_refused_with_the_two_known_ones() -> None:
    with pytest.raises(StatisticsError, match=r"'exact'.*'pooled' or 'unpooled'"):
        two_proportion_z(1, 2, 1, 2, method="exact")  # type: ignore[arg-type]


def test_the_variance_of_a_proportion_divides_by_n() -> None:
    assert proportion_variance_of_mean(50, 1000) == pytest.approx(0.05 * 0.95 / 1000, rel=1e-15)


def test_a_proportion_of_impossible_counts_is_nan() -> None:
    np.testing.assert_array_equal(
        proportion([0, 5, 11, -1, 1, np.nan], [10, 10, 10, 10, 0, 10]), [0.0, 0.5, np.nan, np.nan, np.nan, np.nan]
    )
