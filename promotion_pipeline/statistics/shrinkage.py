"""The effect to expect after the celebration: a noisy winner's estimate pulled towards what effects usually are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.intervals import centred
from promotion_pipeline.statistics.normal import critical_z


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkenLift:
    """Posterior of the effect, in the unit of the estimate; NaN where not computable.

    `chance_to_win` is P(effect > 0); `risk_of_keeping` the mean gain missed by staying with control and
    `risk_of_switching` the mean loss taken by moving to the treatment.
    """

    mean: FloatArray
    standard_deviation: FloatArray
    lower: FloatArray
    upper: FloatArray
    chance_to_win: FloatArray
    risk_of_keeping: FloatArray
    risk_of_switching: FloatArray


@quiet
def shrunken_mean(
    estimate: ArrayLike, standard_error: ArrayLike, *, prior_mean: ArrayLike = 0.0, prior_sd: ArrayLike = np.inf
) -> FloatArray:
    """Only the posterior mean of `shrunken_lift`, which is all that an hour of many experiments needs.

    estimate + (prior_mean - estimate) se^2 / (se^2 + prior_sd^2); NaN where the standard error is not above 0.

    Raises:
        StatisticsError: prior_sd not above 0.
    """
    value = finite(estimate)
    error, centre, spread = floats(standard_error, prior_mean, prior_sd)
    if np.any(spread <= 0):
        raise StatisticsError(f"prior_sd is {spread.min():g}, but must be above 0; leave it out for a flat prior.")
    noise = positive(error) ** 2
    return np.asarray(value + (centre - value) * (noise / (noise + spread * spread)))


@quiet
def shrunken_lift(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    *,
    prior_mean: ArrayLike = 0.0,
    prior_sd: ArrayLike = np.inf,
    alpha: ArrayLike = 0.05,
) -> ShrunkenLift:
    """Normal-normal posterior of an effect (Gelman et al. 2013, Bayesian Data Analysis, section 2.5).

    An estimate that was picked because it was large is too large on average (the winner's curse); with a prior fitted
    to past experiments the posterior mean is not. `prior_sd` inf is a flat prior: nothing is shrunk. All broadcast.

    NaN where the standard error is not above 0.

    Raises:
        StatisticsError: prior_sd not above 0, or alpha outside (0, 1).
    """
    mean = shrunken_mean(estimate, standard_error, prior_mean=prior_mean, prior_sd=prior_sd)
    error, spread = floats(standard_error, prior_sd)
    sd = np.asarray(1.0 / np.sqrt(1.0 / positive(error) ** 2 + 1.0 / spread**2))
    interval = centred(mean, critical_z(alpha) * sd)
    return ShrunkenLift(
        mean,
        sd,
        interval.lower,
        interval.upper,
        np.asarray(ndtr(mean / sd)),
        _positive_part(mean, sd),
        _positive_part(-mean, sd),
    )


def _positive_part(mean: FloatArray, sd: FloatArray) -> FloatArray:
    """E[max(X, 0)] of a normal X."""
    ratio = mean / sd
    density = np.exp(-0.5 * ratio * ratio) / np.sqrt(2.0 * np.pi)
    return np.asarray(np.maximum(mean * ndtr(ratio) + sd * density, 0.0))
