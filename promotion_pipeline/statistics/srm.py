"""Sample ratio mismatch: does the traffic that arrived fit the split that was declared?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet


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
    """
    counts, shares = np.broadcast_arrays(*floats(observed, weights))
    live = shares > 0
    total = counts.sum(axis=axis)
    expected = np.where(live, shares, 0.0) * np.expand_dims(total / shares.sum(axis=axis), axis)
    deviation = counts - expected
    statistic = np.where(live, deviation * deviation / expected, 0.0).sum(axis=axis)
    arms = live.sum(axis=axis)
    stray = (~live & (counts > 0)).any(axis=axis)
    statistic = np.where(arms >= 2, statistic, np.nan)
    statistic = np.where(stray, np.inf, statistic)
    usable = (total > 0) & (counts >= 0).all(axis=axis) & (shares >= 0).all(axis=axis)
    statistic = np.where(usable, statistic, np.nan)
    p_value = np.where(stray & usable, 0.0, chdtrc(arms - 1.0, statistic))
    return SrmTest(statistic, p_value)
