"""Intervals of the absolute difference of two proportions, p1 - p0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.intervals import Interval, centred
from promotion_pipeline.statistics.normal import critical_z
from promotion_pipeline.statistics.proportions import proportion, proportion_variance_of_mean

BISECTIONS = 60
"""Halvings of an interval of length at most 2: the root is then exact to rounding."""


@quiet
def wilson_interval(x: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Interval:
    """Score interval of one proportion (Wilson 1927, JASA 22, 209-212); also at 0 and n successes.

    NaN where n <= 0, x < 0 or x > n.
    """
    p, z = proportion(x, n), critical_z(alpha)
    share = z * z / floats(n)[0]
    middle = (p + share / 2.0) / (1.0 + share)
    half = np.sqrt(share * (p * (1.0 - p) + share / 4.0)) / (1.0 + share)
    interval = centred(middle, half)
    # At 0 and n successes the closed end is exact; rounding would put it a hair outside.
    return Interval(np.where(p == 0, 0.0, interval.lower), np.where(p == 1, 1.0, interval.upper))


@quiet
def wald_difference_interval(x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, alpha: ArrayLike) -> Interval:
    """p1 - p0 -+ z sqrt(p0 (1 - p0) / n0 + p1 (1 - p1) / n1); NaN where that root is 0. All arguments broadcast."""
    variance = proportion_variance_of_mean(x0, n0) + proportion_variance_of_mean(x1, n1)
    return centred(proportion(x1, n1) - proportion(x0, n0), critical_z(alpha) * np.sqrt(positive(variance)))


@quiet
def newcombe_interval(x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, alpha: ArrayLike) -> Interval:
    """Hybrid score interval: the Wilson intervals of the arms, squared and added (Newcombe 1998, method 10).

    Statistics in Medicine 17, 873-890. Computable for any n > 0, also with 0 conversions. All arguments broadcast.
    """
    p0, p1 = proportion(x0, n0), proportion(x1, n1)
    arm0, arm1 = wilson_interval(x0, n0, alpha), wilson_interval(x1, n1, alpha)
    difference = p1 - p0
    return Interval(
        np.asarray(difference - np.hypot(p1 - arm1.lower, arm0.upper - p0)),
        np.asarray(difference + np.hypot(arm1.upper - p1, p0 - arm0.lower)),
    )


@quiet
def score_z(x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, difference: ArrayLike) -> FloatArray:
    """Score statistic of "p1 - p0 = difference", variance at the constrained maximum, times N / (N - 1).

    Miettinen & Nurminen 1985, Statistics in Medicine 4, 213-226. All arguments broadcast.
    """
    x0, n0, x1, n1, d = floats(x0, n0, x1, n1, difference)
    p0 = _constrained_proportion(x0, n0, x1, n1, d)
    p1 = np.clip(p0 + d, 0.0, 1.0)
    total = n0 + n1
    variance = (p0 * (1.0 - p0) / n0 + p1 * (1.0 - p1) / n1) * total / (total - 1.0)
    return np.asarray((proportion(x1, n1) - proportion(x0, n0) - d) / np.sqrt(np.maximum(variance, 0.0)))


def _constrained_proportion(
    x0: FloatArray, n0: FloatArray, x1: FloatArray, n1: FloatArray, d: FloatArray
) -> FloatArray:
    """The most likely p0 given p1 - p0 = d: the root of a cubic, in closed form."""
    total, successes = n0 + n1, x0 + x1
    c2 = ((n1 + 2.0 * n0) * d - total - successes) / (3.0 * total)
    c1 = ((n0 * d - total - 2.0 * x0) * d + successes) / total
    c0 = x0 * d * (1.0 - d) / total
    q = c2**3 - c1 * c2 / 2.0 + c0 / 2.0
    p = np.copysign(np.sqrt(np.maximum(c2 * c2 - c1 / 3.0, 0.0)), q)
    cosine = np.where(p == 0, 0.0, np.clip(q / p**3, -1.0, 1.0))
    root = 2.0 * p * np.cos((np.pi + np.arccos(cosine)) / 3.0) - c2
    return np.asarray(np.clip(root, np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d)))


@quiet
def miettinen_nurminen_interval(
    x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, alpha: ArrayLike
) -> Interval:
    """The differences that the score test does not reject, found by bisection. All arguments broadcast.

    Miettinen & Nurminen 1985 (see `score_z`). Computable for any n > 0, also with 0 conversions.
    """
    x0, n0, x1, n1, z = np.broadcast_arrays(*floats(x0, n0, x1, n1), critical_z(alpha))
    difference = proportion(x1, n1) - proportion(x0, n0)
    lower = _score_root(x0, n0, x1, n1, z, difference, np.full_like(difference, -1.0))
    upper = _score_root(x0, n0, x1, n1, z, difference, np.full_like(difference, 1.0))
    return Interval(lower, upper)


def _score_root(
    x0: FloatArray,
    n0: FloatArray,
    x1: FloatArray,
    n1: FloatArray,
    z: FloatArray,
    inside: FloatArray,
    outside: FloatArray,
) -> FloatArray:
    """Where |score| reaches z, between a difference that is accepted and the bound of all differences."""
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2.0
        # NaN (no variance left at the bound) counts as rejected, so that the search moves inwards.
        accepted = np.abs(score_z(x0, n0, x1, n1, middle)) <= z
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return np.where(np.isnan(inside), np.nan, outside)
