"""The mixture sequential probability ratio test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, msprt_likelihood_ratio


def test_it_is_the_likelihood_ratio_averaged_over_the_mixture() -> None:
    # scipy 1.17.1 integrate.quad over t of the N(0, 0.01^2) density times exp(n (d t - t^2 / 2) / V)
    assert msprt_likelihood_ratio(100, 131, 1000, 0.01) == pytest.approx(1.779334030582735, rel=1e-12)


@given(hs.integers(1, 999), hs.integers(1, 999), hs.floats(0.001, 0.2))
def test_it_does_not_matter_which_arm_is_control(x0: int, x1: int, tau: float) -> None:
    assert msprt_likelihood_ratio(x0, x1, 1000, tau) == pytest.approx(
        msprt_likelihood_ratio(x1, x0, 1000, tau), rel=1e-9
    )


def test_no_difference_is_evidence_for_no_difference() -> None:
    assert msprt_likelihood_ratio(100, 100, 1000, 0.02) < 1.0


def test_what_cannot_be_judged_is_nan() -> None:
    assert np.isnan(msprt_likelihood_ratio([0, 1000, 5, 11], [0, 1000, 5, 5], [1000, 1000, 0, 10], 0.02)).all()


def test_a_mixture_without_width_is_refused() -> None:
    with pytest.raises(StatisticsError, match="tau is 0, but must be above 0"):
        msprt_likelihood_ratio(1, 2, 10, 0.0)
