"""The mixture sequential probability ratio test of two equal arms, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.proportions import proportion


@quiet
def msprt_likelihood_ratio(x0: ArrayLike, x1: ArrayLike, n_per_arm: ArrayLike, tau: ArrayLike) -> FloatArray:
    """Likelihood ratio of "the rates differ, by N(0, tau^2)" against "they are equal". All arguments broadcast.

    sqrt(V / (V + n tau^2)) exp(n^2 tau^2 (p1 - p0)^2 / (2 V (V + n tau^2))), V = p0 (1 - p0) + p1 (1 - p1) (Johari,
    Koomen, Pekelis & Walsh 2017, "Peeking at A/B Tests", KDD). The always-valid p-value of a series of looks
    is min(1, 1 / the largest ratio so far).

    NaN where a count is impossible or V is 0.

    Raises:
        StatisticsError: tau not above 0.
    """
    n, mixing = floats(n_per_arm, tau)
    if np.any(mixing <= 0):
        raise StatisticsError(f"tau is {mixing.min():g}, but must be above 0; take the size of a usual effect.")
    p0, p1 = proportion(x0, n_per_arm), proportion(x1, n_per_arm)
    v = positive(p0 * (1.0 - p0) + p1 * (1.0 - p1))
    spread = n * mixing * mixing
    exponent = n * spread * (p1 - p0) ** 2 / (2.0 * v * (v + spread))
    return np.asarray(np.sqrt(v / (v + spread)) * np.exp(exponent))
