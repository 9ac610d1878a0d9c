"""Before an experiment: how likely it is to find a lift, with how many requests, and the smallest lift to hope for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from promotion_pipeline.statistics.arrays import FloatArray, between, floats, positive, quiet
from promotion_pipeline.statistics.normal import critical_z

BISECTIONS = 60


@quiet
def power_two_proportions(
    p0: ArrayLike, p1: ArrayLike, n_per_arm: ArrayLike, alpha: ArrayLike = 0.05, *, sides: int = 2
) -> FloatArray:
    """Chance that the pooled z-test of two equal arms is significant in the right direction. All arguments broadcast.

    Phi((sqrt(n) |p1 - p0| - z sqrt(2 p (1 - p))) / sqrt(p0 (1 - p0) + p1 (1 - p1))), p the mean of the two
    (Fleiss, Levin & Paik 2003, Statistical Methods for Rates and Proportions, without continuity correction; what
    R's power.prop.test computes).

    NaN where a rate is outside [0, 1], n <= 0 or both variances are 0.
    """
    p0, p1 = _rate(p0), _rate(p1)
    null, alternative = _standard_deviations(p0, p1)
    shift = np.sqrt(positive(n_per_arm)) * np.abs(p1 - p0) - critical_z(alpha, sides=sides) * null
    return np.asarray(ndtr(shift / positive(alternative)))


@quiet
def sample_size_two_proportions(
    p0: ArrayLike, p1: ArrayLike, power: ArrayLike = 0.8, alpha: ArrayLike = 0.05, *, sides: int = 2
) -> FloatArray:
    """Requests per arm (not rounded) for `power`, the inverse of `power_two_proportions`. All arguments broadcast.

    NaN where a rate is outside [0, 1] or the two are equal.
    """
    p0, p1 = _rate(p0), _rate(p1)
    null, alternative = _standard_deviations(p0, p1)
    quantile = ndtri(between("power", power, 0.0, 1.0))
    reach = critical_z(alpha, sides=sides) * null + quantile * alternative
    return np.where(reach > 0, (reach / positive(np.abs(p1 - p0))) ** 2, np.nan)


@quiet
def minimum_detectable_lift(
    p0: ArrayLike, n_per_arm: ArrayLike, power: ArrayLike = 0.8, alpha: ArrayLike = 0.05, *, sides: int = 2
) -> FloatArray:
    """Smallest relative lift above 0 (a fraction) that is found with `power`. All arguments broadcast.

    By bisection of `power_two_proportions`. NaN where p0 is not in (0, 1), n <= 0, or not even a rate of 1 would do.
    """
    base, size, target, z = np.broadcast_arrays(
        _rate(p0), positive(n_per_arm), between("power", power, 0.0, 1.0), critical_z(alpha, sides=sides)
    )
    base = np.where((base > 0) & (base < 1), base, np.nan)
    quantile = ndtri(target)
    low, high = base, np.where(np.isnan(base), np.nan, 1.0)

    def enough(p1: FloatArray) -> FloatArray:
        null, alternative = _standard_deviations(base, p1)
        return np.asarray(np.sqrt(size) * (p1 - base) - z * null >= quantile * alternative)

    reachable = enough(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        found = enough(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return np.where(reachable, high / base - 1.0, np.nan)


def _rate(p: ArrayLike) -> FloatArray:
    (rate,) = floats(p)
    return np.where((rate >= 0) & (rate <= 1), rate, np.nan)


def _standard_deviations(p0: FloatArray, p1: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of sqrt(n) (p1 - p0), if both rates were their mean, and as they are."""
    mean = (p0 + p1) / 2.0
    return np.sqrt(2.0 * mean * (1.0 - mean)), np.sqrt(p0 * (1.0 - p0) + p1 * (1.0 - p1))
