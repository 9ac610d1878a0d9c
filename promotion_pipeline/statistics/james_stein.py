"""How large true effects usually are, learned from estimates of past ones: the positive-part James-Stein estimator."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.roots import decreasing_root

FEWEST_ESTIMATES = 6
"""Below it the estimate of a spread is mostly noise."""
KNOWN_CENTRE = 2
"""What the estimator takes off the number of estimates where these are shrunk towards a point that is known."""
MEAN_AS_CENTRE = 3
"""The same where the estimates are deviations from their own mean."""


def usable(estimates: ArrayLike, standard_errors: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The pairs that say something: finite estimates whose standard errors are finite and above 0."""
    value, error = (np.ravel(array) for array in np.broadcast_arrays(*floats(estimates, standard_errors)))
    known = np.isfinite(value) & np.isfinite(error) & (error > 0)
    return value[known], error[known]


@quiet
def learned_prior_sd(
    estimates: ArrayLike, standard_errors: ArrayLike, *, fewest: int = FEWEST_ESTIMATES, lost: int = KNOWN_CENTRE
) -> float:
    """Standard deviation, around 0, of true effects of which noisy estimates are known.

    The A >= 0 for which the sum over the k estimates of x^2 / (A + se^2) is k - `lost`; 0 where it is less already at
    A = 0: the estimates differ no more than noise does. With equal standard errors that shrinks each estimate by the
    factor max(0, 1 - (k - lost) se^2 / sum x^2): the positive-part James-Stein estimator (Efron & Morris 1973, "Stein's
    estimation rule and its competitors", JASA 68:117-130, eq. 1.8; 1975, "Data analysis using Stein's estimator and its
    generalizations", JASA 70:311-319, section 2). Unequal ones as in Morris 1983, "Parametric empirical Bayes
    inference", JASA 78:47-55, with weights that are all 1.

    Args:
        estimates, standard_errors: broadcast; pairs that are not finite, or without error, do not count.
        fewest: pairs below which nothing is learned.
        lost: 2 where effects are centred at 0, 3 where the estimates are deviations from their own mean.

    Returns:
        NaN where fewer than `fewest` pairs are usable.

    Raises:
        StatisticsError: `fewest` is not above `lost`.
    """
    if fewest <= lost:
        raise StatisticsError(
            f"fewest is {fewest}, but must be above {lost}: with fewer nothing is left to learn from."
        )
    value, error = usable(estimates, standard_errors)
    if len(value) < fewest:
        return float("nan")
    squares, noise, freedom = value**2, error**2, len(value) - lost

    def excess(variance: float) -> float:
        return float(np.sum(squares / (variance + noise))) - freedom

    if excess(0.0) <= 0.0:
        return 0.0
    # Where every term is at most 1 times its share the sum is too small, so the root lies below.
    highest = float(np.sum(squares)) / freedom
    return float(np.sqrt(decreasing_root(excess, 0.0, highest)))
