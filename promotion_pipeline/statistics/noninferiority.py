"""Is the treatment, at worst, a tolerable margin worse? And the reverse for a guardrail: is it worse for certain?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.sequential import always_valid_one_sided_p_value
from promotion_pipeline.statistics.welch import mean_variance_of_mean, welch_degrees_of_freedom


@dataclass(frozen=True, slots=True, eq=False)
class MeanNoninferiority:
    """Difference of means, its standard error, one-sided bound on the harmful side, and the p-value of "too bad"."""

    difference: FloatArray
    standard_error: FloatArray
    bound: FloatArray
    p_value: FloatArray


@quiet
def noninferiority_means(
    n0: ArrayLike,
    sum0: ArrayLike,
    sum_squares0: ArrayLike,
    n1: ArrayLike,
    sum1: ArrayLike,
    sum_squares1: ArrayLike,
    margin_relative: ArrayLike,
    alpha: ArrayLike = 0.05,
    *,
    higher_is_better: bool = True,
) -> MeanNoninferiority:
    """Welch's test that mean1 is worse than mean0 by less than `margin_relative` * |mean0|. All arrays broadcast.

    The p-value tests the contrast mean1 - (1 -+ margin) mean0, in which the margin moves with the estimated control
    mean, so it is not too sure of itself as with a margin taken for known. `bound` is the one-sided 1 - alpha bound of
    the plain difference: the lower one where higher is better, else the upper one.

    NaN where n <= 1 or both variances are 0.
    """
    check_margin(margin_relative)
    level = alpha_level(alpha)
    mean0, variance0 = mean_variance_of_mean(n0, sum0, sum_squares0)
    mean1, variance1 = mean_variance_of_mean(n1, sum1, sum_squares1)
    worse = -1.0 if higher_is_better else 1.0
    factor = 1.0 + worse * np.sign(mean0) * floats(margin_relative)[0]
    contrast = -worse * (mean1 - factor * mean0)
    contrast_variance = variance1 + factor * factor * variance0
    freedom = welch_degrees_of_freedom(n0, factor * factor * variance0, n1, variance1)
    p_value = stdtr(freedom, -contrast / np.sqrt(positive(contrast_variance)))
    difference = np.asarray(mean1 - mean0)
    error = np.asarray(np.sqrt(positive(variance0 + variance1)))
    reach = stdtrit(welch_degrees_of_freedom(n0, variance0, n1, variance1), 1.0 - level) * error
    return MeanNoninferiority(difference, error, np.asarray(difference + worse * reach), np.asarray(p_value))


def always_valid_harm_p_value(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    n: ArrayLike,
    n_star: ArrayLike,
    alpha: ArrayLike,
    *,
    margin: ArrayLike = 0.0,
    higher_is_better: bool = False,
) -> FloatArray:
    """One-sided always-valid p-value of "not worse than `margin`": small means harm beyond it, at any look.

    `estimate` is the effect (treatment minus control, or a lift) of a guardrail, `margin` >= 0 in its unit; the other
    arguments and NaN as in `always_valid_one_sided_interval`.
    """
    check_margin(margin)
    sign = -1.0 if higher_is_better else 1.0
    harm = np.asarray(sign * floats(estimate)[0] - floats(margin)[0])
    return always_valid_one_sided_p_value(harm, standard_error, n, n_star, alpha)


def check_margin(margin: ArrayLike) -> None:
    """Refuse a negative margin.

    Raises:
        StatisticsError: as said.
    """
    (limit,) = floats(margin)
    if np.any(limit < 0):
        raise StatisticsError(f"margin is {limit.min():g}, but must be 0 or above; give the size of a tolerable loss.")
