"""Student's t over millions of cells: series where there are many degrees of freedom, the exact functions where few.

Degrees of freedom come as their inverse, so that 0 means a variance that is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, floats, quiet

FEWEST_FOR_TAIL = 50.0
"""Degrees of freedom from which Hill's series is within 1e-13 of the tail."""
FEWEST_FOR_QUANTILE = 300.0
"""Degrees of freedom from which the Cornish-Fisher series is within 1e-10 of the quantile, down to a level of 1e-4."""


@quiet
def student_two_sided_p_value(t: ArrayLike, inverse_freedom: ArrayLike) -> FloatArray:
    """P(|T| >= |t|); NaN where `t` is. Arguments broadcast.

    Hill 1970, "Algorithm 395: Student's t-distribution", Communications of the ACM 13, 617-619: the z that is as
    surprising as t.
    """
    value, inverse = np.broadcast_arrays(*floats(t, inverse_freedom))
    # At a freedom of infinity the series is 0 / 0; at 1e12 it is the normal tail to the last digit.
    freedom = 1.0 / np.maximum(inverse, 1e-12)
    shifted = freedom - 0.5
    scale = 48.0 * shifted * shifted
    y = shifted * np.log1p(value * value / freedom)
    correction = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + scale) + y + 3.0
    p_value = np.asarray(2.0 * ndtr(-np.sqrt(y) * (correction / scale + 1.0)))
    few = inverse > 1.0 / FEWEST_FOR_TAIL
    if few.any():
        p_value[few] = 2.0 * stdtr(1.0 / inverse[few], -np.abs(value[few]))
    return p_value


@quiet
def student_critical(alpha: ArrayLike, inverse_freedom: ArrayLike) -> FloatArray:
    """The t that |T| exceeds with probability `alpha`. Arguments broadcast.

    Cornish-Fisher expansion in 1 / degrees of freedom (Abramowitz & Stegun 1964, 26.7.5).
    """
    level, inverse = floats(alpha_level(alpha), inverse_freedom)
    z = -ndtri(level / 2.0)
    critical = np.asarray(z * _cornish_fisher(z * z, inverse))
    few = inverse > 1.0 / FEWEST_FOR_QUANTILE
    if few.any():
        spread = np.broadcast_to(level, critical.shape)[np.broadcast_to(few, critical.shape)]
        critical[np.broadcast_to(few, critical.shape)] = -stdtrit(
            1.0 / np.broadcast_to(inverse, critical.shape)[np.broadcast_to(few, critical.shape)], spread / 2.0
        )
    return critical


def _cornish_fisher(z2: FloatArray, inverse: FloatArray) -> FloatArray:
    """t / z, by Horner's rule in 1 / degrees of freedom."""
    first = (z2 + 1.0) / 4.0
    second = ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0
    third = (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0
    fourth = ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92160.0
    return np.asarray(1.0 + inverse * (first + inverse * (second + inverse * (third + inverse * fourth))))
