"""CUPED: users' values before the experiment explain part of the noise during it; take that part out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.welch import Scale, WelchTest, t_test, welch_degrees_of_freedom


@dataclass(frozen=True, slots=True, eq=False)
class UserSums:
    """Additive sums over the n users of an arm: `post` during, `pre` before the experiment."""

    n: ArrayLike
    post_sum: ArrayLike
    post_sum_squares: ArrayLike
    pre_sum: ArrayLike
    pre_sum_squares: ArrayLike
    post_pre_sum_products: ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class CupedTest:
    """The adjusted test, theta, and the standard error that the same comparison has without the adjustment."""

    test: WelchTest
    theta: FloatArray
    standard_error_unadjusted: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    n: FloatArray
    post: FloatArray
    pre: FloatArray
    post_variance: FloatArray
    pre_variance: FloatArray
    covariance: FloatArray

    def variance_of_mean(self, theta: ArrayLike, scale: ArrayLike = 1.0) -> FloatArray:
        """Of mean(scale * post - theta * pre)."""
        t, s = floats(theta, scale)
        spread = s * s * self.post_variance - 2.0 * s * t * self.covariance + t * t * self.pre_variance
        return np.asarray(np.maximum(spread, 0.0) / self.n)


@quiet
def cuped(control: UserSums, treatment: UserSums, scale: Scale = "absolute", alpha: ArrayLike = 0.05) -> CupedTest:
    """Compare means of post - theta pre, with theta = cov(post, pre) / var(pre) over both arms pooled.

    Deng, Xu, Kohavi & Walker 2013, "Improving the Sensitivity of Online Controlled Experiments", WSDM. The
    lift (scale "relative") is against the unadjusted control mean; in its standard error the arms' means of `pre` count
    as equal, as randomisation makes them. All sums broadcast.

    NaN where n <= 1, or the adjusted variances are 0; theta is 0 where `pre` does not vary (nothing to adjust by).

    Raises:
        StatisticsError: alpha outside (0, 1), or an unknown scale.
    """
    if scale not in ("absolute", "relative"):
        raise StatisticsError(f"scale is {scale!r}, but must be 'absolute' or 'relative'; choose what to compare.")
    arm0, arm1 = _moments(control), _moments(treatment)
    pooled = _moments(_pooled(control, treatment))
    theta = np.where(pooled.pre_variance > 0, pooled.covariance / pooled.pre_variance, 0.0)
    difference = (arm1.post - arm0.post) - theta * (arm1.pre - arm0.pre)
    adjusted0, adjusted1 = arm0.variance_of_mean(theta), arm1.variance_of_mean(theta)
    base = np.ones_like(arm0.post) if scale == "absolute" else np.where(arm0.post != 0, np.abs(arm0.post), np.nan)
    ratio = np.ones_like(arm0.post) if scale == "absolute" else arm1.post / arm0.post
    error = np.sqrt(positive(adjusted1 + arm0.variance_of_mean(theta, ratio))) / base
    plain = np.sqrt(positive(arm1.variance_of_mean(0.0) + arm0.variance_of_mean(0.0, ratio))) / base
    freedom = welch_degrees_of_freedom(arm0.n, adjusted0, arm1.n, adjusted1)
    return CupedTest(t_test(difference / base, error, freedom, alpha), theta, np.asarray(plain))


def _moments(sums: UserSums) -> _Moments:
    n, y, yy, x, xx, yx = floats(
        sums.n, sums.post_sum, sums.post_sum_squares, sums.pre_sum, sums.pre_sum_squares, sums.post_pre_sum_products
    )
    n = positive(n)
    divisor = positive(n - 1.0)
    spreads = ((yy - y * y / n) / divisor, (xx - x * x / n) / divisor, (yx - y * x / n) / divisor)
    return _Moments(n, *(np.asarray(value) for value in (y / n, x / n, *spreads)))


def _pooled(a: UserSums, b: UserSums) -> UserSums:
    fields = UserSums.__slots__
    return UserSums(*(np.asarray(sum(floats(getattr(a, field), getattr(b, field)))) for field in fields))
