"""Conversions and guards that every function of this layer starts with."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promotion_pipeline.statistics.errors import StatisticsError

FloatArray: TypeAlias = NDArray[np.float64]

quiet = np.errstate(all="ignore")
"""Decorator: a division by zero shows as NaN in the result, not as a warning."""


def floats(*values: ArrayLike) -> tuple[FloatArray, ...]:
    """Each value as a float64 array, without a copy where it is one already."""
    return tuple(np.asarray(value, dtype=np.float64) for value in values)


def positive(values: ArrayLike) -> FloatArray:
    """The values, NaN where they are not above 0: a variance of 0 would claim certainty."""
    (array,) = floats(values)
    return np.where(array > 0, array, np.nan)


def finite(values: ArrayLike) -> FloatArray:
    """The values, NaN where infinite: an overflow is no evidence."""
    (array,) = floats(values)
    return np.where(np.isfinite(array), array, np.nan)


def between(name: str, value: ArrayLike, lower: float, upper: float) -> FloatArray:
    """A parameter strictly between two bounds, as an array; NaN elements pass and give NaN.

    Raises:
        StatisticsError: an element lies on or outside a bound.
    """
    (array,) = floats(value)
    outside = (array <= lower) | (array >= upper)
    if np.any(outside):
        raise StatisticsError(
            f"{name} is {array[outside].flat[0]:g}, but must lie strictly between {lower:g} and {upper:g}; "
            f"give {name} as a fraction in that range (5 % is 0.05)."
        )
    return array


def alpha_level(alpha: ArrayLike, *, upper: float = 1.0) -> FloatArray:
    """A significance level in (0, `upper`), as an array."""
    return between("alpha", alpha, 0.0, upper)
