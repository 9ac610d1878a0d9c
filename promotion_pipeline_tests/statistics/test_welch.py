"""Welch's test from sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, mean_variance_of_mean, welch

VALUES = hs.lists(hs.floats(-1000, 1000).map(lambda v: round(v, 3)), min_size=3, max_size=30, unique=True)


def _sums(values: list[float] | np.ndarray) -> tuple[float, float, float]:
    array = np.asarray(values)
    return array.size, float(array.sum()), float((array * array).sum())


def test_it_agrees_with_scipy() -> None:
    # scipy 1.17.1 stats.ttest_ind_from_stats(10.5, 2.0, 40, 10.0, 3.0, 25, equal_var=False)
    control = (25, 250.0, 24 * 9.0 + 25 * 100.0)
    treatment = (40, 420.0, 39 * 4.0 + 40 * 10.5**2)
    test = welch(*control, *treatment, "absolute", 0.05)
    assert test.t == pytest.approx(0.7372097807744856, rel=1e-9)
    assert test.p_value == pytest.approx(0.46559373978234475, rel=1e-9)
    assert test.estimate == pytest.approx(0.5)


@given(VALUES, VALUES)
def test_swapping_the_arms_flips_the_difference(a: list[float], b: list[float]) -> None:
    there, back = welch(*_sums(a), *_sums(b)), welch(*_sums(b), *_sums(a))
    assert there.estimate == -back.estimate
    assert there.p_value == back.p_value
    assert there.lower == -back.upper


@given(VALUES, VALUES)
def test_the_interval_contains_the_estimate_and_excludes_zero_exactly_when_significant(
    a: list[float], b: list[float]
) -> None:
    test = welch(*_sums(a), *_sums(b), "absolute", 0.05)
    assert test.lower <= test.estimate <= test.upper
    if abs(test.p_value - 0.05) > 1e-9:
        assert (test.p_value < 0.05) == bool(test.lower > 0 or test.upper < 0)


@given(VALUES, VALUES, hs.sampled_from([0.001, 1000.0]))
def test_a_change_of_unit_keeps_the_lift_and_its_p_value(a: list[float], b: list[float], unit: float) -> None:
    arms = _sums(np.array(a) + 2000), _sums(np.array(b) + 2000)
    scaled = _sums((np.array(a) + 2000) * unit), _sums((np.array(b) + 2000) * unit)
    lift, other = welch(*arms[0], *arms[1], "relative"), welch(*scaled[0], *scaled[1], "relative")
    assert other.estimate == pytest.approx(lift.estimate, rel=1e-9, abs=1e-12)
    assert other.p_value == pytest.approx(lift.p_value, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    "control",
    [
        pytest.param((0, 0.0, 0.0), id="no data"),
        pytest.param((1, 5.0, 25.0), id="one value"),
        pytest.param((np.nan, 5.0, 25.0), id="unknown size"),
    ],
)
def test_too_little_data_is_nan(control: tuple[float, float, float]) -> None:
    test = welch(*control, 10, 105.0, 1111.5)
    assert np.isnan(test.p_value)
    assert np.isnan(test.lower)


def test_two_constant_arms_are_nan_and_not_significant() -> None:
    test = welch(10, 10.0, 10.0, 10, 20.0, 40.0)
    assert test.estimate == 1.0
    assert np.isnan(test.standard_error)
    assert np.isnan(test.p_value)


def test_rounding_never_makes_a_variance_negative() -> None:
    assert mean_variance_of_mean(3, 0.3, 0.03 - 1e-17)[1] >= 0.0


def test_a_relative_comparison_with_a_control_mean_of_zero_is_nan() -> None:
    test = welch(4, 0.0, 4.0, 4, 4.0, 8.0, "relative")
    assert np.isnan(test.estimate)
    assert np.isnan(test.p_value)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(StatisticsError, match=r"'percent'.*'absolute' or 'relative'"):
        welch(10, 1.0, 1.0, 10, 1.0, 1.0, "percent")  # type: ignore[arg-type]
