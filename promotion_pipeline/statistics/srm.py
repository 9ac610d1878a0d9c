"""Sample ratio mismatch: does the traffic that arrived fit the split that was declared?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet
from promotion_pipeline.statistics.errors import StatisticsError


@dataclass(frozen=True, slots=True, eq=False)
class SrmTest:
    """Chi-square statistic and p-value, one an experiment; NaN where nothing can be tested."""

    chi_square: FloatArray
    p_value: FloatArray


@quiet
def srm_chi_square(observed: ArrayLike, weights: ArrayLike, axis: int = -1) -> SrmTest:
    """Pearson's chi-square of the observed counts against the declared split (Pearson 1900).

    Args:
        observed: counts (..., k), the k arms along `axis`; count the unit that is randomised (users).
        weights: declared shares, broadcastable to `observed`; normalised by their sum, so percent will do.
        axis: where the arms are.

    An arm of weight 0 is left out and costs a degree of freedom (an array padded to k arms needs no more). If it has
    traffic all the same, that is impossible under the split: chi-square inf, p 0, never a pass.

    NaN without traffic, with fewer than two arms of positive weight, or with a negative or NaN count or weight.

    Raises:
        StatisticsError: not as many weights as arms.
    """
    counts, shares = floats(observed, weights)
    counts, shares = arms_first(counts, shares, axis)
    live = shares > 0
    # One arm after another: numpy adds a single experiment's arms in another order than those of several.
    shares = shares / sum(shares, np.zeros(()))
    total = sum(counts, np.zeros(()))
    scaled = np.zeros(())
    lowest = np.full((), np.inf)
    stray = np.zeros((), dtype=np.bool_)
    # Arm by arm and not in one array: a reduction over an axis of three is slow, and the weights stay small.
    for count, share, is_live in zip(counts, shares, live, strict=True):
        deviation = count - total * share
        scaled = scaled + deviation * deviation * np.where(is_live, 1.0 / share, 0.0)
        lowest = np.minimum(lowest, count)
        if not is_live.all():
            stray = stray | (~is_live & (count > 0))
    arms = live.sum(axis=0)
    usable = (total > 0) & (lowest >= 0) & (shares >= 0).all(axis=0)
    statistic = np.where(stray, np.inf, np.where(arms >= 2, scaled / total, np.nan))
    statistic = np.where(usable, statistic, np.nan)
    return SrmTest(statistic, np.where(stray & usable, 0.0, chdtrc(arms - 1.0, statistic)))


def arms_first(counts: FloatArray, shares: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    """Counts and shares with the arms on axis 0 and the same number of further axes.

    Raises:
        StatisticsError: not as many shares as arms.
    """
    dimensions = max(counts.ndim, shares.ndim)
    aligned = [array.reshape((1,) * (dimensions - array.ndim) + array.shape) for array in (counts, shares)]
    first, second = (np.moveaxis(array, axis, 0) for array in aligned)
    if len(first) != len(second):
        raise StatisticsError(
            f"observed has {len(first)} arms and weights {len(second)}, but they must match; give each arm its share."
        )
    return first, second
