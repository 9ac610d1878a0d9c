"""Adjusted p-values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import FloatArray, benjamini_hochberg, bonferroni, holm

P_VALUES = hs.lists(hs.floats(0, 1), min_size=1, max_size=8)
WITH_GAPS = hs.lists(hs.floats(0, 1) | hs.just(np.nan), min_size=1, max_size=8)
Adjust = Callable[..., FloatArray]
every_method = pytest.mark.parametrize("adjust", [holm, bonferroni, benjamini_hochberg])


@every_method
@given(p_values=P_VALUES)
def test_adjusting_never_lowers_a_p_value_nor_passes_one(adjust: Adjust, p_values: list[float]) -> None:
    adjusted = adjust(p_values)
    assert np.all(adjusted >= p_values)
    assert np.all(adjusted <= 1.0)


@every_method
@given(p_values=P_VALUES)
def test_adjusting_keeps_the_order(adjust: Adjust, p_values: list[float]) -> None:
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(adjust(p_values)[order]) >= 0)


@every_method
@given(p_values=WITH_GAPS)
def test_gaps_stay_gaps_and_do_not_count(adjust: Adjust, p_values: list[float]) -> None:
    raw = np.array(p_values)
    kept = ~np.isnan(raw)
    adjusted = adjust(raw)
    assert np.isnan(adjusted[~kept]).all()
    np.testing.assert_array_equal(adjusted[kept], adjust(raw[kept]))


@every_method
def test_one_comparison_needs_no_adjustment(adjust: Adjust) -> None:
    np.testing.assert_array_equal(adjust([[0.03, np.nan], [np.nan, 0.4]]), [[0.03, np.nan], [np.nan, 0.4]])
    assert adjust(0.03) == 0.03


@every_method
def test_no_comparison_at_all_is_no_error(adjust: Adjust) -> None:
    assert adjust(np.empty((3, 0))).shape == (3, 0)
    assert np.isnan(adjust([np.nan, np.nan])).all()


@every_method
def test_what_is_no_probability_counts_as_a_gap(adjust: Adjust) -> None:
    np.testing.assert_array_equal(adjust([-0.1, 0.02, 1.1, np.inf]), [np.nan, 0.02, np.nan, np.nan])


@every_method
def test_the_comparisons_may_lie_on_any_axis(adjust: Adjust) -> None:
    p_values = np.random.default_rng(1).random((4, 3, 5))
    np.testing.assert_array_equal(adjust(p_values, axis=1), np.moveaxis(adjust(np.moveaxis(p_values, 1, -1)), -1, 1))


@given(p_values=P_VALUES)
def test_holm_lies_between_benjamini_hochberg_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert np.all(adjusted <= bonferroni(p_values) * (1 + 1e-12))
    assert np.all(adjusted >= benjamini_hochberg(p_values) * (1 - 1e-12))
