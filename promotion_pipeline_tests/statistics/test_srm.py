"""Sample ratio mismatch on totals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, srm_chi_square

COUNTS = hs.lists(hs.integers(1, 10**7), min_size=2, max_size=6)


def test_three_uneven_arms_agree_with_scipy() -> None:
    # scipy 1.17.1 stats.chisquare([5120, 4870, 5010], [6000, 4500, 4500])
    test = srm_chi_square([5120, 4870, 5010], [0.4, 0.3, 0.3])
    assert test.chi_square == pytest.approx(217.2888888888889, rel=1e-12)
    assert test.p_value == pytest.approx(6.551146151295886e-48, rel=1e-9, abs=0)


def test_an_arm_of_weight_zero_costs_its_degree_of_freedom() -> None:
    # scipy 1.17.1 stats.chisquare([5120, 4880]); with a degree too many it would be 0.056 and pass.
    test = srm_chi_square([5120, 0, 4880], [50, 0, 50])
    assert test.chi_square == pytest.approx(5.76, rel=1e-12)
    assert test.p_value == pytest.approx(0.01639507184919225, rel=1e-12)


def test_traffic_in_an_arm_of_weight_zero_is_the_plainest_mismatch() -> None:
    test = srm_chi_square([5000, 1, 5000], [0.5, 0.0, 0.5])
    assert test.chi_square == np.inf
    assert test.p_value == 0.0


@given(COUNTS)
def test_traffic_exactly_as_declared_has_a_p_value_of_one(counts: list[int]) -> None:
    test = srm_chi_square(counts, counts)
    assert test.chi_square == pytest.approx(0.0, abs=1e-6)
    assert test.p_value == pytest.approx(1.0, abs=1e-3)


@given(COUNTS, hs.sampled_from([1.0, 100.0, 1e-6]))
def test_percent_and_fractions_are_the_same_split(counts: list[int], unit: float) -> None:
    weights = np.arange(1.0, len(counts) + 1)
    assert srm_chi_square(counts, weights * unit).chi_square == pytest.approx(
        srm_chi_square(counts, weights).chi_square, rel=1e-9
    )


@given(COUNTS)
def test_the_order_of_the_arms_does_not_matter(counts: list[int]) -> None:
    weights = np.arange(1.0, len(counts) + 1)
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    assert srm_chi_square(np.array(counts)[order], weights[order]).chi_square == pytest.approx(
        srm_chi_square(counts, weights).chi_square, rel=1e-9
    )


def test_the_arms_may_lie_on_any_axis() -> None:
    counts = np.random.default_rng(3).integers(100, 200, (4, 3, 5))
    weights = np.array([0.2, 0.3, 0.5])
    last = srm_chi_square(np.moveaxis(counts, 1, -1), weights).p_value
    middle = srm_chi_square(counts, weights[:, None], axis=1).p_value
    first = srm_chi_square(np.moveaxis(counts, 1, 0), weights[:, None, None], axis=0).p_value
    assert last.shape == (4, 5)
    np.testing.assert_array_equal(last, middle)
    np.testing.assert_array_equal(last, first)


def test_each_experiment_has_its_own_split() -> None:
    p_values = srm_chi_square([[500, 500], [900, 100]], [[0.5, 0.5], [0.9, 0.1]]).p_value
    assert p_values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("observed", "weights"),
    [
        pytest.param([0, 0], [0.5, 0.5], id="no traffic"),
        pytest.param([10, 0], [1.0, 0.0], id="one arm only"),
        pytest.param([10, 10], [0.0, 0.0], id="no weights"),
        pytest.param([10, np.nan], [0.5, 0.5], id="unknown count"),
        pytest.param([10, -1], [0.5, 0.5], id="negative count"),
        pytest.param([10, 10], [0.5, np.nan], id="unknown weight"),
        pytest.param([10, 10], [1.5, -0.5], id="negative weight"),
    ],
)
def test_what_cannot_be_tested_is_nan_and_not_a_pass(observed: list[float], weights: list[float]) -> None:
    test = srm_chi_square(observed, weights)
    assert np.isnan(test.chi_square)
    assert np.isnan(test.p_value)


def test_one_broken_experiment_leaves_the_others_alone() -> None:
    p_values = srm_chi_square([[10.0, np.nan], [500.0, 500.0]], [0.5, 0.5]).p_value
    np.testing.assert_array_equal(p_values, [np.nan, 1.0])


def test_a_split_of_another_number_of_arms_is_refused() -> None:
    with pytest.raises(StatisticsError, match="observed has 3 arms and weights 2"):
        srm_chi_square([1, 2, 3], [0.5, 0.5])
