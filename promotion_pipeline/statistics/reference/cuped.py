"""CUPED of two arms as one test, the way that other libraries state it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.contrasts import lift_of
from promotion_pipeline.statistics.cuped import UserSums, cuped_arms
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.welch import Scale, WelchTest, t_test


@dataclass(frozen=True, slots=True, eq=False)
class CupedTest:
    """The adjusted test, theta, and the standard error that the same comparison has without the adjustment."""

    test: WelchTest
    theta: FloatArray
    standard_error_unadjusted: FloatArray


@quiet
def cuped(control: UserSums, treatment: UserSums, scale: Scale = "absolute", alpha: ArrayLike = 0.05) -> CupedTest:
    """`cuped_arms` of control and one treatment. The lift (scale "relative") is against control's plain mean.

    All sums broadcast. NaN where n <= 1, or the adjusted variances are 0; theta is 0 where `pre` does not vary.

    Raises:
        StatisticsError: alpha outside (0, 1), or an unknown scale.
    """
    if scale not in ("absolute", "relative"):
        raise StatisticsError(f"scale is {scale!r}, but must be 'absolute' or 'relative'; choose what to compare.")
    found = cuped_arms(_both(control, treatment))
    contrast, plain = found.contrast, np.sqrt(positive(found.plain_difference_variance))
    variance = contrast.variance_at(1.0)
    estimate, error = contrast.difference, np.sqrt(positive(variance))
    if scale == "relative":
        estimate, error = lift_of(contrast, found.plain_ratio)
        spread = found.plain_difference_variance + (found.plain_ratio**2 - 1.0) * contrast.control_variance
        plain = np.sqrt(positive(spread)) / np.abs(contrast.control)
    test = t_test(estimate[0], error[0], 1.0 / contrast.inverse_freedom_of(variance)[0], alpha)
    return CupedTest(test, np.asarray(found.theta), np.asarray(plain[0]))


def _both(control: UserSums, treatment: UserSums) -> UserSums:
    """Two arms along a first axis."""
    arms = [floats(*(getattr(arm, name) for name in UserSums.__slots__)) for arm in (control, treatment)]
    shape = np.broadcast_shapes(*(part.shape for arm in arms for part in arm))
    stacked = (np.stack([np.broadcast_to(arm[number], shape) for arm in arms]) for number in range(len(arms[0])))
    return UserSums(*stacked)
