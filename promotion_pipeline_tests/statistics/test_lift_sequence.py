"""The always-valid test and interval of a lift: they agree, and neither small arms nor odd means make them too sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    LiftSequence,
    always_valid_critical_z,
    always_valid_interval,
    always_valid_lift,
    proportion,
    proportion_variance_of_mean,
    student_inflation,
)
from promotion_pipeline_tests.statistics.strategies import Arms, alphas, arms

FINITE = hs.floats(-1e6, 1e6)
SPREAD = hs.floats(1e-6, 1e6)


def _of_counts(drawn: Arms, alpha: float = 0.05) -> LiftSequence:
    x0, n0, x1, n1 = drawn
    v0, v1 = proportion_variance_of_mean(x0, n0), proportion_variance_of_mean(x1, n1)
    return always_valid_lift(proportion(x0, n0), v0, proportion(x1, n1), v1, n0 + n1, 5_000, alpha)


def _excludes_no_lift(found: LiftSequence) -> bool:
    return bool(found.lower > 0 or found.upper < 0)


@given(arms(), alphas())
def test_the_p_value_is_small_exactly_when_the_interval_excludes_no_lift(drawn: Arms, alpha: float) -> None:
    found = _of_counts(drawn, alpha)
    assume(abs(found.p_value - alpha) > 1e-9)
    assert (found.p_value <= alpha) == _excludes_no_lift(found)


@given(FINITE, SPREAD, FINITE, SPREAD, alphas())
def test_they_agree_for_means_of_every_sign_too(m0: float, v0: float, m1: float, v1: float, alpha: float) -> None:
    found = always_valid_lift(m0, v0, m1, v1, 10_000, 5_000, alpha)
    assert np.isnan(found.lower) == np.isnan(found.upper) == np.isnan(found.p_value)
    assume(not np.isnan(found.p_value) and abs(found.p_value - alpha) > 1e-6)
    assert (found.p_value <= alpha) == _excludes_no_lift(found)
    assert found.lower <= (m1 - m0) / abs(m0) * (1 + 1e-9 * np.sign(m1 - m0)) or np.isclose(found.lower, 0)


@given(arms())
def test_it_is_never_surer_than_the_difference_or_the_log_ratio_alone(drawn: Arms) -> None:
    x0, n0, x1, n1 = drawn
    p0, p1 = x0 / n0, x1 / n1
    v0, v1 = p0 * (1 - p0) / n0, p1 * (1 - p1) / n1
    assume(p0 != p1 and v0 + v1 > 0)
    by_difference = (p1 - p0) / np.sqrt(v0 + v1)
    by_log = np.log(p1 / p0) / np.sqrt(v0 / p0**2 + v1 / p1**2)
    assert abs(_of_counts(drawn).z) == pytest.approx(min(abs(by_difference), abs(by_log)), rel=1e-6)


def test_equal_arms_are_as_sure_as_by_the_log_ratio() -> None:
    sequence = always_valid_interval(np.log(1.2), np.sqrt(0.95 / 500 + 0.94 / 600), 20_000, 70_000, 0.05)
    found = always_valid_lift(0.05, 0.05 * 0.95 / 1e4, 0.06, 0.06 * 0.94 / 1e4, 20_000, 70_000, 0.05)
    assert (found.lower, found.upper) == pytest.approx((np.expm1(sequence.lower), np.expm1(sequence.upper)), rel=1e-12)


@pytest.mark.parametrize(
    ("mean0", "variance0", "mean1", "variance1"),
    [
        (0.1, 1e-5, 0.0, 0.0),
        (0.0, 0.0, 0.1, 1e-5),
        (0.0, 0.0, 0.0, 0.0),
        (0.1, np.nan, 0.2, 1e-5),
        (1e200, 1e190, 1, 1),
    ],
    ids=["treatment rate of 0", "control rate of 0", "both 0", "unknown variance", "a mean that overflows"],
)
def test_what_cannot_be_measured_is_no_evidence(mean0: float, variance0: float, mean1: float, variance1: float) -> None:
    found = always_valid_lift(mean0, variance0, mean1, variance1, 1e6, 5_000, 0.05)
    assert not found.lower > 0 and not found.upper > 1e9
    assert np.isnan(found.p_value) or mean0 == 1e200


def test_a_fall_below_zero_is_told_by_the_difference_and_fieller() -> None:
    reach = float(always_valid_critical_z(10_000, 5_000, 0.05))
    found = always_valid_lift(2.0, 0.01, -1.0, 0.04, 10_000, 5_000, 0.05)
    for end in (found.lower, found.upper):
        contrast = -1.0 - (1 + end) * 2.0
        assert abs(contrast) == pytest.approx(reach * np.sqrt(0.04 + (1 + end) ** 2 * 0.01))
    assert found.upper < 0 and found.p_value < 0.05


def test_a_rise_from_a_loss_is_a_positive_lift() -> None:
    found = always_valid_lift(-2.0, 0.01, -1.0, 0.01, 10_000, 5_000, 0.05)
    assert 0 < found.lower < 0.5 < found.upper


def test_where_control_cannot_be_told_from_zero_no_lift_is_stated() -> None:
    found = always_valid_lift(-0.01, 1.0, 50.0, 1.0, 10_000, 5_000, 0.05)
    assert np.isnan([found.p_value, found.lower, found.upper]).all()


def test_few_users_widen_the_log_interval_as_student_has_it_and_none_leave_nothing() -> None:
    critical = always_valid_critical_z(10_000, 5_000, 0.05)
    known, few, nobody = (
        always_valid_lift(1.0, 0.01, 1.5, 0.01, 10_000, 5_000, 0.05, inverse_freedom=inverse)
        for inverse in (0.0, 0.2, 2.0)
    )
    widths = [np.log1p(found.upper) - np.log1p(found.lower) for found in (known, few)]
    assert widths[1] / widths[0] == pytest.approx(float(student_inflation(critical, 0.2)))
    assert known.p_value < few.p_value
    assert np.isnan([nobody.p_value, nobody.lower]).all()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_looks_without_end_at_rare_events_in_unequal_arms_keep_the_level(share: float) -> None:
    rng = np.random.default_rng(17)
    mean = np.array([1 - share, share]) * 800
    n = rng.poisson(mean[:, None, None], (2, 1_000, 150))
    x = rng.binomial(n, 0.002).cumsum(axis=2)
    n = n.cumsum(axis=2)
    rate = x / n
    variance = rate * (1 - rate) / n
    total = n.sum(axis=0)
    looked = n.min(axis=0) >= 1_000
    found = always_valid_lift(rate[0], variance[0], rate[1], variance[1], total, 3.5 * total[:, 20:21], 0.05)
    up = ((found.lower > 0) & looked).any(axis=1).mean()
    down = ((found.upper < 0) & looked).any(axis=1).mean()
    assert max(up, down) < 0.025 + 3 * np.sqrt(0.025 / 1_000)
