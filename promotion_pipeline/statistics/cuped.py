"""CUPED: users' values before the experiment explain part of the noise during it; take that part out.

Deng, Xu, Kohavi & Walker 2013, "Improving the Sensitivity of Online Controlled Experiments", WSDM. Everything follows
from sums over users that add up over hours, so the adjustment is exact at every look; with theta from the same data the
adjusted estimate goes through the same always-valid interval (Lindon, Ham, Tingley & Bojinov, arXiv 2210.08589).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.contrasts import Contrast


@dataclass(frozen=True, slots=True, eq=False)
class UserSums:
    """Additive sums over the n users of each arm, arms along the first axis: `post` during, `pre` before."""

    n: ArrayLike
    post_sum: ArrayLike
    post_sum_squares: ArrayLike
    pre_sum: ArrayLike
    pre_sum_squares: ArrayLike
    post_pre_sum_products: ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """What CUPED makes of arms, control first: each treatment against control."""

    contrast: Contrast
    """`treatment` is a treatment's mean as if its users had had control's past, `control` the plain mean of control."""
    theta: FloatArray
    """cov(post, pre) / var(pre) over the users of all arms; 0 where `pre` does not vary: nothing to adjust by."""
    variance_reduction: FloatArray
    """Share of the variance of the difference that the past takes out."""
    plain_ratio: FloatArray
    """mean(post_1) / mean(post_0): where the delta method of a lift is taken."""
    plain_difference_variance: FloatArray
    """Of the difference without the adjustment."""


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Of each arm: means, and the variances and covariance of these means."""

    post: FloatArray
    pre: FloatArray
    post_variance: FloatArray
    pre_variance: FloatArray
    covariance: FloatArray

    def adjusted_variance(self, theta: FloatArray) -> FloatArray:
        """Of mean(post - theta * pre)."""
        spread = self.post_variance - theta * (2.0 * self.covariance - theta * self.pre_variance)
        return np.asarray(np.maximum(spread, 0.0))

    def part(self, arms: slice) -> _Moments:
        """Of some arms."""
        return _Moments(*(getattr(self, name)[arms] for name in _Moments.__slots__))


@quiet
def cuped_arms(sums: UserSums) -> Adjusted:
    """Compare each arm with the first by post - theta pre. Arrays (arms, ...); an arm without users does not count.

    The contrast A - r B has A = mean(post_1) - theta (mean(pre_1) - mean(pre_0)), B = mean(post_0): randomisation makes
    the arms' pasts alike, so A - r B is on average what it is without the adjustment, for every r.

    NaN where an arm has at most one user.
    """
    n, y, yy, x, xx, yx = floats(
        sums.n, sums.post_sum, sums.post_sum_squares, sums.pre_sum, sums.pre_sum_squares, sums.post_pre_sum_products
    )
    theta = _theta(n, y, x, xx, yx)
    moments, freedom = _moments(n, y, yy, x, xx, yx), 1.0 / positive(n - 1.0)
    control, treatment = moments.part(slice(0, 1)), moments.part(slice(1, None))
    adjusted1 = treatment.adjusted_variance(theta)
    contrast = Contrast(
        treatment=np.asarray(treatment.post - theta * (treatment.pre - control.pre)),
        control=control.post,
        treatment_variance=np.asarray(adjusted1 + theta * theta * control.pre_variance),
        control_variance=control.post_variance,
        covariance=np.asarray(theta * control.covariance),
        own_variance=adjusted1,
        treatment_inverse_freedom=freedom[1:],
        control_inverse_freedom=freedom[:1],
    )
    plain = np.asarray(control.post_variance + treatment.post_variance)
    reduction = np.asarray(1.0 - contrast.variance_at(1.0) / positive(plain))
    return Adjusted(contrast, theta[0], reduction, np.asarray(treatment.post / control.post), plain)


def _theta(n: FloatArray, y: FloatArray, x: FloatArray, xx: FloatArray, yx: FloatArray) -> FloatArray:
    """Over the users of all arms together, with a first axis of one."""
    # Arm after arm, so that the sum does not depend on how many arms other experiments have.
    users, post, pre, squares, products = (_over_arms(np.where(n > 0, part, 0.0)) for part in (n, y, x, xx, yx))
    spread = squares - pre * pre / positive(users)
    # What is left of equal values by rounding is no spread.
    spread = np.where(spread > 1e-12 * squares, spread, np.nan)
    return np.asarray(
        np.nan_to_num((products - post * pre / positive(users)) / spread, nan=0.0, posinf=0.0, neginf=0.0)
    )


def _over_arms(values: FloatArray) -> FloatArray:
    total = np.zeros_like(values[:1])
    for arm in range(len(values)):
        total[0] += values[arm]
    return total


def _moments(n: FloatArray, y: FloatArray, yy: FloatArray, x: FloatArray, xx: FloatArray, yx: FloatArray) -> _Moments:
    n = positive(n)
    divisor = positive(n - 1.0) * n
    spreads = (
        np.maximum(yy - y * y / n, 0.0) / divisor,
        np.maximum(xx - x * x / n, 0.0) / divisor,
        (yx - y * x / n) / divisor,
    )
    return _Moments(y / n, x / n, *spreads)
