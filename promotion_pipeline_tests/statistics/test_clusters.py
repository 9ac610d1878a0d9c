"""Clusters of any size: bounds from sums, a variance that is never too small on average, and few degrees of freedom."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.statistics import (
    combined_inverse_freedom,
    largest_share_bound,
    leverage_inflation,
    normal_equivalent,
    ratio_of_sums,
    student_inflation,
    welch_degrees_of_freedom,
)

SIZES = st.lists(st.integers(1, 10_000), min_size=2, max_size=40)


@given(sizes=SIZES)
def test_no_cluster_is_larger_than_the_bound(sizes: list[int]) -> None:
    shares = np.array(sizes) / sum(sizes)
    bound = float(largest_share_bound(len(sizes), (shares**2).sum()))
    assert shares.max() <= bound * (1 + 1e-9)
    assert bound <= np.sqrt((shares**2).sum()) * (1 + 1e-9)


def test_the_bound_is_reached_by_one_large_cluster_among_equal_ones() -> None:
    shares = np.array([0.3, *np.full(70, 0.01)])
    assert float(largest_share_bound(71, (shares**2).sum())) == pytest.approx(0.3)


def test_equal_clusters_need_no_further_correction() -> None:
    assert float(leverage_inflation(50, 1 / 50, 1 / 50)) == pytest.approx(1.0)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0], ids=["alike", "as requests", "as users"])
@pytest.mark.parametrize(
    "sizes",
    [[900, *[10] * 10], [300, 250, *[10] * 45], [5] * 60, list(range(1, 40)), [10_000, 3_000, 500, *[2] * 500]],
    ids=["a giant", "two giants", "equal", "a ramp", "a power law"],
)
def test_the_variance_is_on_average_never_too_small_whichever_clusters_carry_it(sizes: list[int], power: float) -> None:
    """A tenth of the users' totals' spread is given to each size by d^power; without the correction 8 of 15 fail."""
    d = np.array(sizes, dtype=float)
    spread = np.sqrt(0.1 * d**power)
    deviation = np.random.default_rng(3).standard_normal((20_000, len(d))) * spread
    y = 0.2 * d + deviation
    squares, total = (d**2).sum(), d.sum()
    found = ratio_of_sums(len(d), y.sum(1), (y * y).sum(1), total, squares, (y * d).sum(1)).variance_of_ratio
    shares = d / total
    corrected = found * float(leverage_inflation(len(d), (shares**2).sum(), shares.max()))
    true = (spread**2).sum() / total**2
    assert corrected.mean() > 0.97 * true


@pytest.mark.parametrize("freedom", [3.0, 5.0, 20.0, 200.0])
@pytest.mark.parametrize("z", [1.5, 1.96, 3.0])
def test_few_degrees_of_freedom_reach_as_far_as_students_t(freedom: float, z: float) -> None:
    wanted = float(scipy.stats.t.isf(scipy.stats.norm.sf(z), freedom))
    assert 0.99 * wanted <= z * float(student_inflation(z, 1 / freedom)) <= 1.08 * wanted


@given(z=st.floats(-6, 6), inverse=st.floats(0, 1))
def test_the_normal_equivalent_undoes_the_inflation(z: float, inverse: float) -> None:
    reached = z * float(student_inflation(abs(z), inverse))
    assert float(normal_equivalent(reached, inverse)) == pytest.approx(z, rel=1e-6, abs=1e-9)


def test_a_variance_as_good_as_known_changes_nothing_and_one_of_a_single_cluster_says_nothing() -> None:
    assert float(student_inflation(3.0, 0.0)) == 1.0
    assert float(normal_equivalent(3.0, 0.0)) == 3.0
    assert np.isnan(student_inflation(3.0, 1.5)) and np.isnan(normal_equivalent(3.0, 1.5))


def test_freedom_is_combined_as_by_welch() -> None:
    found = float(combined_inverse_freedom(0.3, 1 / 9, 0.1, 1 / 4))
    assert 1 / found == pytest.approx(float(welch_degrees_of_freedom(10, 0.3, 5, 0.1)))
