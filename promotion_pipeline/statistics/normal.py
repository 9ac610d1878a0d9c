"""The normal distribution, straight from the ufuncs: exact in the far tail, fast on large arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, floats


def two_sided_p_value(z: ArrayLike) -> FloatArray:
    """P(|Z| >= |z|), any shape; from the tail, so that it stays exact down to 1e-300. NaN stays NaN."""
    (array,) = floats(z)
    return np.asarray(2.0 * ndtr(-np.abs(array)))


def critical_z(alpha: ArrayLike, *, sides: int = 2) -> FloatArray:
    """The z that a standard normal exceeds with probability `alpha` (`sides` = 1) or alpha/2 (`sides` = 2)."""
    return np.asarray(-ndtri(alpha_level(alpha) / sides))
