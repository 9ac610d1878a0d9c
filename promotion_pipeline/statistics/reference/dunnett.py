"""Several treatments against one control: the exact correction for normal statistics that share the control."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, between, floats, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.roots import decreasing_root

Tail = Literal["both", "upper"]

# The trapezoid rule is spectrally exact for a smooth integrand that vanishes at both ends.
_NODES, _STEP = np.linspace(-9.0, 9.0, 1201, retstep=True)
_SHARES = _STEP * np.exp(-0.5 * _NODES * _NODES) / np.sqrt(2.0 * np.pi)


@quiet
def dunnett_p_value(z: ArrayLike, comparisons: int, *, tail: Tail = "both", correlation: float = 0.5) -> FloatArray:
    """P(the largest of m null statistics is at least as extreme as z): adjusted for all of them. Any shape.

    The statistics share the control, so each pair has the same correlation, n1 / (n0 + n1): 0.5 with equal arms
    (Dunnett 1955, JASA 50, 1096-1121). Given the control's part u they are independent, which leaves one integral.

    NaN where z is NaN.
    """
    _check(comparisons, tail)
    rho = float(between("correlation", correlation, 0.0, 1.0))
    (array,) = floats(z)
    extreme = np.abs(array) if tail == "both" else array
    shared, own = np.sqrt(rho) * _NODES, np.sqrt(1.0 - rho)
    beyond = ndtr((shared - extreme[..., None]) / own)
    if tail == "both":
        beyond = np.minimum(beyond + ndtr((-extreme[..., None] - shared) / own), 1.0)
    return np.asarray(np.clip(-np.expm1(comparisons * np.log1p(-beyond)) @ _SHARES, 0.0, 1.0))


def dunnett_critical_z(comparisons: int, alpha: float, *, tail: Tail = "both", correlation: float = 0.5) -> float:
    """The z at which `dunnett_p_value` is alpha; "upper" spends all of alpha on treatments that are better.

    Raises:
        StatisticsError: alpha or correlation outside (0, 1), comparisons below 1, or an unknown tail.
    """
    level = float(alpha_level(alpha))
    _check(comparisons, tail)

    def excess(z: float) -> float:
        return float(dunnett_p_value(z, comparisons, tail=tail, correlation=correlation)) - level

    return decreasing_root(excess, 0.0 if tail == "both" else -9.0, 9.0)


def _check(comparisons: int, tail: str) -> None:
    if comparisons < 1:
        raise StatisticsError(f"comparisons is {comparisons}, but must be 1 or more; count the treatments.")
    if tail not in ("both", "upper"):
        raise StatisticsError(f"tail is {tail!r}, but must be 'both' or 'upper'; choose the side to test.")
