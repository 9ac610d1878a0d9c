"""How large effects are, learned from the past; how promises held."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_pipeline.statistics.calibration import calibration, exact_share, holds
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.james_stein import MEAN_AS_CENTRE, learned_prior_sd
from promotion_pipeline.statistics.shrinkage import shrunken_mean

HITS_IN_45 = (18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7)
"""Efron & Morris 1975, table 1: the batting averages of 18 players of 1970 after 45 at bats."""


def test_the_batting_averages_of_efron_and_morris_are_shrunk_by_their_factor() -> None:
    # 1975, section 2: x = sqrt(45) arcsin(2 y - 1) of the averages to three digits has variance 1; the sum of squares
    # about the mean is 18.96, and each player is shrunk towards it by the factor 1 - 15 / 18.96 = .209.
    x = np.sqrt(45) * np.arcsin(2 * np.round(np.array(HITS_IN_45) / 45, 3) - 1)
    deviations = x - x.mean()
    squares = (deviations**2).sum()
    assert squares == pytest.approx(18.96, abs=0.01)
    variance = learned_prior_sd(deviations, 1.0, lost=MEAN_AS_CENTRE) ** 2
    assert variance / (1 + variance) == pytest.approx(0.209, abs=5e-4)
    assert variance / (1 + variance) == pytest.approx(1 - 15 / squares, abs=1e-12)


def test_with_equal_errors_it_is_the_james_stein_estimator() -> None:
    x = np.array([0.12, -0.03, 0.05, 0.2, -0.08, 0.01, 0.07])
    sd = learned_prior_sd(x, 0.04)
    factor = 1 - 5 * 0.04**2 / (x**2).sum()
    np.testing.assert_allclose(shrunken_mean(x, 0.04, prior_sd=sd), factor * x, rtol=1e-12)


def test_unequal_errors_solve_the_stated_equation() -> None:
    x, error = np.array([0.3, -0.1, 0.2, 0.05, 0.4, -0.2, 0.15]), np.array([0.1, 0.05, 0.1, 0.2, 0.15, 0.05, 0.02])
    sd = learned_prior_sd(x, error)
    assert (x**2 / (sd**2 + error**2)).sum() == pytest.approx(5, rel=1e-12)


def test_estimates_that_differ_no_more_than_noise_teach_that_effects_are_nothing() -> None:
    assert learned_prior_sd([0.01, -0.01, 0.005, 0.0, 0.002, -0.004], 0.05) == 0.0


def test_fewer_than_six_teach_nothing_and_what_is_not_known_does_not_count() -> None:
    assert np.isnan(learned_prior_sd([0.1] * 5, 0.01))
    assert np.isnan(learned_prior_sd([0.1] * 5 + [np.nan], 0.01))
    assert np.isnan(learned_prior_sd([0.1] * 6, [0.01] * 5 + [0.0]))
    assert np.isfinite(learned_prior_sd([0.1] * 6, 0.01))
    with pytest.raises(StatisticsError, match="fewest is 2"):
        learned_prior_sd([0.1] * 6, 0.01, fewest=2)


def test_it_finds_the_spread_of_many_effects() -> None:
    random = np.random.default_rng(7)
    error = random.uniform(0.01, 0.08, 4_000)
    x = random.normal(0.0, 0.05, 4_000) + random.normal(0.0, error)
    assert learned_prior_sd(x, error) == pytest.approx(0.05, rel=0.05)


def test_unbiased_promises_hold_as_often_as_their_level_says() -> None:
    random = np.random.default_rng(11)
    truth = random.normal(0.05, 0.05, 20_000)
    promised, realised = truth + random.normal(0, 0.02, 20_000), truth + random.normal(0, 0.03, 20_000)
    found = calibration(promised, 0.02, realised, np.full(20_000, 0.03))
    assert found.held / found.promises == pytest.approx(0.95, abs=0.005)
    assert found.came_true == pytest.approx(1.0, abs=4 * found.came_true_error)


def test_a_promise_without_an_outcome_does_not_count() -> None:
    found = calibration([0.1, 0.2], [0.01, 0.01], [0.1, np.nan], [0.01, 0.01])
    assert (found.promises, found.held, found.promised_sum, found.came_true) == (1, 1, 0.1, 1.0)
    assert np.isnan(holds(0.1, np.inf, 0.1, 0.1))
    nothing = calibration([], [], [], [])
    assert (nothing.promises, nothing.held) == (0, 0)
    assert np.isnan(nothing.came_true)


def test_the_exact_share_is_that_of_the_tables() -> None:
    # scipy.stats.binomtest(8, 10).proportion_ci(method="exact") prints these
    share = exact_share(8, 10)
    assert (float(share.lower), float(share.upper)) == pytest.approx(
        (0.4439045376923585, 0.9747892736731665), abs=1e-10
    )
    assert (float(exact_share(0, 4).lower), float(exact_share(4, 4).upper)) == (0.0, 1.0)
