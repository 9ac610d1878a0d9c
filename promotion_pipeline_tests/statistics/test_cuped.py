"""Variance reduction by what users did before."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_pipeline.statistics import Scale, StatisticsError, UserSums, WelchTest, cuped, welch


def _terms(post: np.ndarray, pre: np.ndarray) -> tuple[float, float, float, float, float, float]:
    return post.size, post.sum(), (post * post).sum(), pre.sum(), (pre * pre).sum(), (post * pre).sum()


def _sums(post: np.ndarray, pre: np.ndarray) -> UserSums:
    return UserSums(*_terms(post, pre))


def _welch(post0: np.ndarray, post1: np.ndarray, scale: Scale = "absolute") -> WelchTest:
    n0, sum0, squares0 = post0.size, post0.sum(), (post0 * post0).sum()
    return welch(n0, sum0, squares0, post1.size, post1.sum(), (post1 * post1).sum(), scale)


def _arms(n: int = 4000, effect: float = 0.0, seed: int = 1) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    pre0, pre1 = (rng.gamma(2.0, 5.0, n) for _ in range(2))
    return 2.0 + 0.8 * pre0 + rng.normal(0, 2, n), pre0, 2.0 + effect + 0.8 * pre1 + rng.normal(0, 2, n), pre1


def test_a_related_past_narrows_the_interval_around_the_same_effect() -> None:
    post0, pre0, post1, pre1 = _arms(effect=0.5)
    result = cuped(_sums(post0, pre0), _sums(post1, pre1))
    assert result.theta == pytest.approx(0.8, abs=0.02)
    assert result.test.standard_error < 0.4 * result.standard_error_unadjusted
    assert result.test.lower < 0.5 < result.test.upper


def test_the_adjusted_test_is_welch_on_the_adjusted_users() -> None:
    post0, pre0, post1, pre1 = _arms(effect=0.2)
    result = cuped(_sums(post0, pre0), _sums(post1, pre1))
    direct = _welch(post0 - result.theta * pre0, post1 - result.theta * pre1)
    assert result.test.estimate == pytest.approx(direct.estimate, rel=1e-9)
    assert result.test.p_value == pytest.approx(direct.p_value, rel=1e-6)


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_a_past_that_never_varies_changes_nothing(scale: Scale) -> None:
    post0, pre0, post1, _ = _arms(effect=0.2)
    zero = np.zeros_like(pre0)
    result = cuped(_sums(post0, zero), _sums(post1, zero), scale)
    plain = _welch(post0, post1, scale)
    assert result.theta == 0.0
    assert result.test.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert result.test.p_value == pytest.approx(plain.p_value, rel=1e-6)
    assert result.standard_error_unadjusted == pytest.approx(plain.standard_error, rel=1e-9)


def test_the_relative_standard_error_is_honest_over_repeated_experiments() -> None:
    lifts, errors = [], []
    for seed in range(400):
        post0, pre0, post1, pre1 = _arms(n=500, effect=1.0, seed=seed)
        test = cuped(_sums(post0, pre0), _sums(post1, pre1), "relative").test
        lifts.append(float(test.estimate))
        errors.append(float(test.standard_error))
    assert np.mean(errors) == pytest.approx(np.std(lifts), rel=0.1)


def test_many_experiments_are_adjusted_at_once() -> None:
    first, second = _arms(seed=1), _arms(seed=2)
    control, treatment = (
        UserSums(*np.transpose([_terms(arms[i], arms[i + 1]) for arms in (first, second)])) for i in (0, 2)
    )
    together = cuped(control, treatment).test.p_value
    alone = [cuped(_sums(a, b), _sums(c, d)).test.p_value for a, b, c, d in (first, second)]
    assert together.tolist() == pytest.approx([float(p_value) for p_value in alone], rel=1e-9)


def test_no_users_are_nan() -> None:
    empty = UserSums(0, 0, 0, 0, 0, 0)
    result = cuped(empty, empty)
    assert np.isnan(result.test.p_value)
    assert np.isnan(result.test.estimate)


def test_an_unknown_scale_is_refused() -> None:
    empty = UserSums(0, 0, 0, 0, 0, 0)
    with pytest.raises(StatisticsError, match="scale is 'log'"):
        cuped(empty, empty, "log")  # type: ignore[arg-type]
