"""The always-valid test and interval of a lift, as one: a confidence sequence on the log ratio of two means.

The standard error of the relative lift grows with the lift, and the question whether there is one does not need that.
So the sequence of `sequential.py` runs over ln(m1 / m0), and its ends are turned back into lifts; the p-value is that
of the same sequence, so it is at most alpha exactly when the shown interval excludes 0. By the delta method the
variance of ln(m1 / m0) is v1 / m1^2 + v0 / m0^2 (Katz et al. 1978 for proportions). In a small arm that happens to be
far up this is too small, since the mean that it is divided by is the lucky one. So it is never less than what makes the
test that of the plain difference: (v0 + v1) / M^2, with M = (m1 - m0) / ln(m1 / m0) the logarithmic mean. (The
difference alone is too sure where it is control that is small.)

A mean at or under 0 has no logarithm: there, the test is that of the difference, and the interval Fieller's (1954,
JRSS B 16, 175-185), which is that same test of every other ratio: the lifts l at which m1 - (1 + l) m0 is not further
from 0 than the sequence allows. Where not even control's mean can be told from 0, no lift can be stated: NaN, and no
p-value. A mean of 0 without any spread (a rate of 0) is NaN too: it is no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.clusters import student_inflation
from promotion_pipeline.statistics.sequential import mixture_of


@dataclass(frozen=True, slots=True, eq=False)
class LiftSequence:
    """p-value of "no lift" and the interval of the lift, a fraction, at one look of many; NaN where not computable."""

    p_value: FloatArray
    lower: FloatArray
    upper: FloatArray
    z: FloatArray
    """Standard errors from no lift, as at one look, and before few degrees of freedom are allowed for."""


@dataclass(frozen=True, slots=True, eq=False)
class _Arms:
    mean0: FloatArray
    variance0: FloatArray
    mean1: FloatArray
    variance1: FloatArray
    covariance: FloatArray

    def at(self, where: NDArray[np.bool_]) -> _Arms:
        values = (self.mean0, self.variance0, self.mean1, self.variance1, self.covariance)
        return _Arms(*(np.broadcast_to(value, where.shape)[where] for value in values))


@quiet
def always_valid_lift(
    mean0: ArrayLike,
    variance_of_mean0: ArrayLike,
    mean1: ArrayLike,
    variance_of_mean1: ArrayLike,
    n: ArrayLike,
    n_star: ArrayLike,
    alpha: ArrayLike,
    *,
    inverse_freedom: ArrayLike | None = None,
    covariance: ArrayLike = 0.0,
) -> LiftSequence:
    """Two-sided 1 - alpha interval of m1 / m0 - 1 that covers at every look at once, with its p-value; all broadcast.

    Args:
        mean0, mean1: of control and treatment; `variance_of_mean0`, `variance_of_mean1`: of these means.
        n, n_star, alpha: as in `always_valid_interval`.
        inverse_freedom: 1 / degrees of freedom of the variance; the interval then reaches as far as Student's t would
            have it. None: as good as known.
        covariance: of the two means; an adjustment for the users' past, taken over both arms, brings one.

    Where a mean is at or under 0: the lift is (m1 - m0) / |m0|, and the test that of the difference.
    """
    arms = _Arms(*floats(mean0, variance_of_mean0, mean1, variance_of_mean1, covariance))
    mixture = mixture_of(n, n_star, alpha)
    critical = mixture.critical_z
    inflation = None if inverse_freedom is None else student_inflation(critical, inverse_freedom)
    reach = critical if inflation is None else critical * inflation
    z, lower, upper = _of_log_ratio(arms, reach)
    signed = (arms.mean0 <= 0) | (arms.mean1 <= 0)
    if signed.any():
        z[signed], lower[signed], upper[signed] = _of_difference(
            arms.at(signed), np.broadcast_to(reach, signed.shape)[signed]
        )
    shortened = z if inflation is None else z / inflation
    return LiftSequence(mixture.p_value(shortened), lower, upper, z)


def _of_log_ratio(arms: _Arms, reach: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """z, lower and upper end; anything where a mean is not above 0."""
    m0, v0, m1, v1, both = arms.mean0, arms.variance0, arms.mean1, arms.variance1, 2.0 * arms.covariance
    ratio = m1 / m0
    log_ratio = np.log(ratio)
    of_control, of_treatment = v0 / (m0 * m0), v1 / (m1 * m1)
    # ln(r) / (r - 1), by its series where the quotient of two roundings would be none.
    slope = np.where(np.abs(log_ratio) > 1e-4, log_ratio / (ratio - 1.0), 1.0 - log_ratio / 2.0)
    of_difference = (of_control + of_treatment * (ratio * ratio) - both / (m0 * m0)) * (slope * slope)
    of_logarithm = of_treatment + of_control - both / (m0 * m1)
    error = np.sqrt(positive(np.maximum(of_logarithm, of_difference)))
    stretch = np.exp(error * reach)
    z, lower, upper = (
        np.asarray(log_ratio / error),
        np.asarray(ratio / stretch - 1.0),
        np.asarray(ratio * stretch - 1.0),
    )
    # An overflow is no evidence, and no end that could be shown.
    unknown = ~np.isfinite(upper)
    for found in (z, lower, upper):
        np.copyto(found, np.nan, where=unknown)
    return z, lower, upper


def _of_difference(arms: _Arms, reach: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same by the difference and Fieller's interval; NaN where that is not bounded, or an arm does not vary."""
    m0, v0, m1, v1 = arms.mean0, positive(arms.variance0), arms.mean1, positive(arms.variance1)
    both = arms.covariance
    squares = reach * reach
    leading = positive(m0 * m0 - squares * v0)
    middle = m0 * m1 - squares * both
    root = np.sqrt(np.maximum(middle * middle - leading * (m1 * m1 - squares * v1), 0.0))
    ratios = ((middle - root) / leading, (middle + root) / leading)
    up = m0 > 0
    lower = np.where(up, ratios[0] - 1.0, 1.0 - ratios[1])
    upper = np.where(up, ratios[1] - 1.0, 1.0 - ratios[0])
    known = np.isfinite(lower) & np.isfinite(upper)
    z = np.where(known, (m1 - m0) / np.sqrt(positive(v0 + v1 - 2.0 * both)), np.nan)
    return z, np.where(known, lower, np.nan), np.where(known, upper, np.nan)
