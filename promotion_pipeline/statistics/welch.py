"""Two means of unequal variance compared from their sums: Welch's t, absolute or relative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, finite, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.lift import relative_lift

Scale = Literal["absolute", "relative"]


@dataclass(frozen=True, slots=True, eq=False)
class WelchTest:
    """Estimate (difference or lift), its standard error, t, degrees of freedom, two-sided p-value and interval."""

    estimate: FloatArray
    standard_error: FloatArray
    t: FloatArray
    degrees_of_freedom: FloatArray
    p_value: FloatArray
    lower: FloatArray
    upper: FloatArray


@quiet
def mean_variance_of_mean(n: ArrayLike, total: ArrayLike, sum_squares: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Mean, and the variance of that mean: (sum_squares - total^2 / n) / (n - 1) / n.

    NaN mean where n <= 0; NaN variance where n <= 1. A variance that rounding pushed below 0 is 0.
    """
    size, first, second = floats(n, total, sum_squares)
    size = positive(size)
    spread = np.maximum(second - first * first / size, 0.0)
    return np.asarray(first / size), np.asarray(spread / positive(size - 1.0) / size)


@quiet
def welch_degrees_of_freedom(
    n0: ArrayLike, variance_of_mean0: ArrayLike, n1: ArrayLike, variance_of_mean1: ArrayLike
) -> FloatArray:
    """(v0 + v1)^2 / (v0^2 / (n0 - 1) + v1^2 / (n1 - 1)) (Welch 1947, Satterthwaite 1946); NaN where n <= 1."""
    n0, v0, n1, v1 = floats(n0, variance_of_mean0, n1, variance_of_mean1)
    total = v0 + v1
    # Shares, not squares of variances: those underflow for small values.
    return np.asarray(1.0 / ((v0 / total) ** 2 / positive(n0 - 1.0) + (v1 / total) ** 2 / positive(n1 - 1.0)))


@quiet
def welch_from_means(
    n0: ArrayLike,
    mean0: ArrayLike,
    variance_of_mean0: ArrayLike,
    n1: ArrayLike,
    mean1: ArrayLike,
    variance_of_mean1: ArrayLike,
    scale: Scale,
    alpha: ArrayLike,
) -> WelchTest:
    """`welch` for means whose variances are known already (proportions, ratios, adjusted means)."""
    m0, v0, m1, v1 = floats(mean0, variance_of_mean0, mean1, variance_of_mean1)
    if scale == "absolute":
        estimate, standard_error = np.asarray(m1 - m0), np.asarray(np.sqrt(positive(v0 + v1)))
    elif scale == "relative":
        lift = relative_lift(m0, v0, m1, v1)
        estimate, standard_error = lift.lift, lift.standard_error
    else:
        raise StatisticsError(f"scale is {scale!r}, but must be 'absolute' or 'relative'; choose what to compare.")
    return t_test(estimate, standard_error, welch_degrees_of_freedom(n0, v0, n1, v1), alpha)


@quiet
def t_test(
    estimate: ArrayLike, standard_error: ArrayLike, degrees_of_freedom: ArrayLike, alpha: ArrayLike
) -> WelchTest:
    """Two-sided t-test of "the effect is 0" and 1 - alpha interval; NaN where the standard error is not above 0."""
    (freedom,) = floats(degrees_of_freedom)
    value, error = finite(estimate), positive(standard_error)
    t = value / error
    half = stdtrit(freedom, 1.0 - alpha_level(alpha) / 2.0) * error
    p_value = 2.0 * stdtr(freedom, -np.abs(t))
    results = (value, error, t, freedom, p_value, value - half, value + half)
    return WelchTest(*(np.asarray(result) for result in results))


def welch(
    n0: ArrayLike,
    sum0: ArrayLike,
    sum_squares0: ArrayLike,
    n1: ArrayLike,
    sum1: ArrayLike,
    sum_squares1: ArrayLike,
    scale: Scale = "absolute",
    alpha: ArrayLike = 0.05,
) -> WelchTest:
    """Welch's test of two means from counts, sums and sums of squares. All arrays broadcast.

    `scale` "absolute": mean1 - mean0, in the unit of the values; "relative": the lift as a fraction, standard error
    by the delta method. NaN where n <= 1, both variances are 0, or (relative) mean0 is 0.

    Raises:
        StatisticsError: alpha outside (0, 1), or an unknown scale.
    """
    mean0, variance0 = mean_variance_of_mean(n0, sum0, sum_squares0)
    mean1, variance1 = mean_variance_of_mean(n1, sum1, sum_squares1)
    return welch_from_means(n0, mean0, variance0, n1, mean1, variance1, scale, alpha)
