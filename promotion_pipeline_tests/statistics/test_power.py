"""Power, sample size and the smallest lift that can be found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    StatisticsError,
    minimum_detectable_lift,
    power_two_proportions,
    sample_size_two_proportions,
)

RATES = hs.floats(0.01, 0.5)
POWERS = hs.floats(0.3, 0.99)


@given(RATES, hs.floats(0.02, 0.9), POWERS, hs.sampled_from([1, 2]))
def test_the_sample_size_has_the_power_that_it_was_asked_for(p0: float, lift: float, power: float, sides: int) -> None:
    p1 = p0 * (1 + lift)
    n = sample_size_two_proportions(p0, p1, power, 0.05, sides=sides)
    assert power_two_proportions(p0, p1, n, 0.05, sides=sides) == pytest.approx(power, rel=1e-9)


@given(RATES, hs.integers(500, 10**7), POWERS)
def test_the_minimum_detectable_lift_has_the_power_that_it_was_asked_for(p0: float, n: int, power: float) -> None:
    lift = minimum_detectable_lift(p0, n, power)
    if not np.isnan(lift):
        assert power_two_proportions(p0, p0 * (1 + lift), n) == pytest.approx(power, rel=1e-6)


@given(RATES, hs.floats(0.02, 0.9), hs.integers(100, 10**6))
def test_more_traffic_has_more_power(p0: float, lift: float, n: int) -> None:
    powers = power_two_proportions(p0, p0 * (1 + lift), [n, 2 * n])
    assert powers[0] <= powers[1]


def test_equal_rates_need_no_sample_size_and_have_the_power_of_chance() -> None:
    assert np.isnan(sample_size_two_proportions(0.1, 0.1))
    assert power_two_proportions(0.1, 0.1, 1000) == pytest.approx(0.025)


def test_what_cannot_be_planned_is_nan() -> None:
    assert np.isnan(power_two_proportions([0.0, -0.1, 1.1, np.nan], [0.0, 0.1, 0.1, 0.1], 1000)).all()
    assert np.isnan(power_two_proportions(0.1, 0.2, 0))
    assert np.isnan(minimum_detectable_lift([0.0, 1.0, np.nan], 1000)).all()


def test_a_lift_that_even_a_rate_of_one_would_not_show_is_nan() -> None:
    assert np.isnan(minimum_detectable_lift(0.9, 5))


def test_a_power_in_percent_is_refused() -> None:
    with pytest.raises(StatisticsError, match="power is 80, but must lie strictly between 0 and 1"):
        sample_size_two_proportions(0.1, 0.2, 80)
