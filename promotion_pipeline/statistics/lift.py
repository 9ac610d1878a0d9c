"""The relative lift of arm 1 over arm 0, mean1 / mean0 - 1, its standard error and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, positive, quiet
from promotion_pipeline.statistics.intervals import Interval, centred
from promotion_pipeline.statistics.normal import critical_z
from promotion_pipeline.statistics.proportions import proportion, proportion_variance_of_mean

SMALL_COUNT = 50
"""Below this many conversions in an arm the lift is too skewed for the delta method."""


@dataclass(frozen=True, slots=True, eq=False)
class Lift:
    """The relative lift as a fraction (0.05 is 5 %) and its standard error; NaN where not computable."""

    lift: FloatArray
    standard_error: FloatArray


@quiet
def relative_lift(
    mean0: ArrayLike, variance_of_mean0: ArrayLike, mean1: ArrayLike, variance_of_mean1: ArrayLike
) -> Lift:
    """Lift (m1 - m0) / |m0| and its standard error by the delta method. All arguments broadcast.

    se^2 = v1 / m0^2 + v0 m1^2 / m0^4, with v the variance *of the mean* (Deng, Knoblich & Lu 2018,
    "Applying the Delta Method in Metric Analytics", KDD; the arms are independent). Dividing by |m0| keeps
    the sign: an increase is a positive lift also where the control mean is negative.

    NaN lift where m0 is 0; NaN standard error also where se^2 is 0 or not computable.
    """
    m0, v0, m1, v1 = floats(mean0, variance_of_mean0, mean1, variance_of_mean1)
    base = np.where(m0 != 0, np.abs(m0), np.nan)
    ratio = m1 / base
    variance = (v1 + v0 * ratio * ratio) / (base * base)
    return Lift(finite((m1 - m0) / base), np.asarray(np.sqrt(positive(variance))))


def delta_interval(lift: ArrayLike, standard_error: ArrayLike, alpha: ArrayLike) -> Interval:
    """lift -+ z(1 - alpha/2) standard_error; NaN where the standard error is not above 0."""
    (estimate,) = floats(lift)
    return centred(estimate, critical_z(alpha) * positive(standard_error))


@quiet
def katz_interval(x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, alpha: ArrayLike) -> Interval:
    """Log interval of the ratio of two proportions, minus 1. All arguments broadcast.

    exp(ln(p1/p0) -+ z sqrt(1/x1 - 1/n1 + 1/x0 - 1/n0)) - 1 (Katz, Baptista, Azen & Pike 1978, Biometrics 34,
    469-474, method C). NaN where either count is 0 or impossible, or both proportions are 1.
    """
    x0, n0, x1, n1 = floats(x0, n0, x1, n1)
    p0, p1 = proportion(x0, n0), proportion(x1, n1)
    log_ratio = np.log(positive(p1)) - np.log(positive(p0))
    variance = 1.0 / x1 - 1.0 / n1 + 1.0 / x0 - 1.0 / n0
    interval = centred(log_ratio, critical_z(alpha) * np.sqrt(positive(variance)))
    return Interval(np.asarray(np.expm1(interval.lower)), np.asarray(np.expm1(interval.upper)))


def proportion_lift_interval(x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, alpha: ArrayLike) -> Interval:
    """Interval of the lift of two proportions: delta method, Katz where a count is under 50.

    All arguments broadcast. NaN as in `katz_interval` and `relative_lift`.
    """
    x0, n0, x1, n1, alpha = floats(x0, n0, x1, n1, alpha)
    v0, v1 = proportion_variance_of_mean(x0, n0), proportion_variance_of_mean(x1, n1)
    lift = relative_lift(proportion(x0, n0), v0, proportion(x1, n1), v1)
    interval = delta_interval(lift.lift, lift.standard_error, alpha)
    put_katz_on_small_counts(interval, x0, n0, x1, n1, alpha)
    return interval


def put_katz_on_small_counts(
    interval: Interval,
    x0: FloatArray,
    n0: FloatArray,
    x1: FloatArray,
    n1: FloatArray,
    alpha: FloatArray,
    where: NDArray[np.bool_] | bool = True,
) -> None:
    """Replace, in place, the ends of a lift's interval by Katz's where an arm has under 50 conversions.

    Args:
        where: only there, broadcastable to the interval.
    """
    small = np.broadcast_to((np.fmin(x0, x1) < SMALL_COUNT) & where, interval.lower.shape)
    if not small.any():
        return
    katz = katz_interval(*(np.broadcast_to(values, small.shape)[small] for values in (x0, n0, x1, n1, alpha)))
    interval.lower[small], interval.upper[small] = katz.lower, katz.upper
