"""The shrunken lift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, delta_interval, shrunken_lift

LIFTS, ERRORS = hs.floats(-1, 1), hs.floats(0.001, 1)


@given(LIFTS, ERRORS, hs.floats(0.001, 1))
def test_a_prior_around_zero_pulls_the_lift_towards_zero(lift: float, error: float, prior_sd: float) -> None:
    posterior = shrunken_lift(lift, error, prior_sd=prior_sd)
    assert abs(posterior.mean) <= abs(lift)
    assert posterior.standard_deviation < min(error, prior_sd)


@given(LIFTS, ERRORS)
def test_a_flat_prior_shrinks_nothing(lift: float, error: float) -> None:
    posterior, interval = shrunken_lift(lift, error), delta_interval(lift, error, 0.05)
    assert posterior.mean == pytest.approx(lift, rel=1e-12)
    assert posterior.upper == pytest.approx(interval.upper, rel=1e-9, abs=1e-12)


@given(LIFTS, ERRORS)
def test_the_two_risks_differ_by_the_mean(lift: float, error: float) -> None:
    posterior = shrunken_lift(lift, error, prior_sd=0.1)
    assert posterior.risk_of_keeping - posterior.risk_of_switching == pytest.approx(posterior.mean, abs=1e-12)
    assert posterior.risk_of_keeping >= 0
    assert posterior.risk_of_switching >= 0


def test_the_risk_is_the_mean_of_what_is_missed() -> None:
    # scipy 1.17.1 integrate.quad of max(x, 0) times the density of N(0.03, 0.04^2)
    assert shrunken_lift(0.03, 0.04).risk_of_keeping == pytest.approx(0.035246676714886134, rel=1e-9)


def test_winners_picked_for_their_lift_are_right_on_average_once_shrunken() -> None:
    rng = np.random.default_rng(8)
    truth = rng.normal(0.0, 0.05, 200_000)
    seen = truth + rng.normal(0.0, 0.05, truth.size)
    winners = seen > 0.1
    shrunken = shrunken_lift(seen, 0.05, prior_sd=0.05).mean
    assert seen[winners].mean() > truth[winners].mean() + 0.05
    assert shrunken[winners].mean() == pytest.approx(truth[winners].mean(), abs=0.001)


@pytest.mark.parametrize("error", [0.0, -1.0, np.nan])
def test_without_a_standard_error_there_is_no_posterior(error: float) -> None:
    posterior = shrunken_lift(0.1, error, prior_sd=0.05)
    assert np.isnan(posterior.mean)
    assert np.isnan(posterior.chance_to_win)


def test_a_prior_without_width_is_refused() -> None:
    with pytest.raises(StatisticsError, match="prior_sd is 0, but must be above 0"):
        shrunken_lift(0.1, 0.1, prior_sd=0.0)
