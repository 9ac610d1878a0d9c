"""Always-valid inference: an interval that may be looked at after every request without inflating errors.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (arXiv 2103.06476v7), a normal
mixture with parameter rho^2. With N observations behind an estimate of standard error SE, and
k = N rho^2 (their variance sigma^2 is SE^2 N), the half-widths are, after simplification,

    two-sided, eq. 9:    SE sqrt((1 + 1/k) (ln(1 + k) - 2 ln alpha))
    one-sided, eq. 134:  SE sqrt(2 (1 + 1/k) ln(1 + sqrt(1 + k) / (2 alpha)))

and rho^2 makes the interval tightest near N* (eq. 161). The p-value is the alpha at which the interval just
touches 0 *with rho held at the given alpha*; so p <= alpha exactly when that interval excludes 0.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, finite, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.intervals import Interval, centred

Alternative = Literal["greater", "less"]


@quiet
def mixture_rho(n_star: ArrayLike, alpha: ArrayLike, *, sides: int = 2) -> FloatArray:
    """rho = sqrt((-2 ln a + ln(1 - 2 ln a)) / N*), a = alpha two-sided and 2 alpha one-sided (eq. 161).

    NaN where N* is not above 0. One-sided, alpha must be under 0.5.
    """
    level = alpha_level(alpha, upper=1.0 if sides == 2 else 0.5)
    minus_two_log = -2.0 * np.log(level if sides == 2 else 2.0 * level)
    return np.asarray(np.sqrt((minus_two_log + np.log1p(minus_two_log)) / positive(n_star)))


def _information(n: ArrayLike, n_star: ArrayLike, alpha: ArrayLike, sides: int) -> FloatArray:
    """k = N rho^2; NaN where N or N* is not above 0."""
    rho = mixture_rho(n_star, alpha, sides=sides)
    return np.asarray(positive(n) * (rho * rho))


@quiet
def always_valid_critical_z(n: ArrayLike, n_star: ArrayLike, alpha: ArrayLike) -> FloatArray:
    """How many standard errors the two-sided interval reaches to each side; arguments of `always_valid_interval`."""
    k = _information(n, n_star, alpha, sides=2)
    return np.asarray(np.sqrt((1.0 + 1.0 / k) * (np.log1p(k) - 2.0 * np.log(alpha_level(alpha)))))


@quiet
def always_valid_interval(
    estimate: ArrayLike, standard_error: ArrayLike, n: ArrayLike, n_star: ArrayLike, alpha: ArrayLike
) -> Interval:
    """Two-sided 1 - alpha interval that covers at every look at once. All arguments broadcast.

    Args:
        estimate: the effect so far, for example a lift.
        standard_error: its standard error now.
        n: observations behind it in both arms together (requests or users, the unit of `standard_error`).
        n_star: the n at which the interval should be tightest; must not depend on outcomes.
        alpha: level in (0, 1).

    NaN where standard_error, n or n_star is not above 0.
    """
    return centred(estimate, positive(standard_error) * always_valid_critical_z(n, n_star, alpha))


@quiet
def always_valid_p_value(
    estimate: ArrayLike, standard_error: ArrayLike, n: ArrayLike, n_star: ArrayLike, alpha: ArrayLike
) -> FloatArray:
    """Two-sided always-valid p-value of "the effect is 0", at most 1; arguments of `always_valid_interval`.

    `alpha` only sets rho: the p-value is at or under it exactly when that interval excludes 0.
    """
    return always_valid_p_value_of_z(finite(estimate) / positive(standard_error), n, n_star, alpha)


@quiet
def always_valid_p_value_of_z(z: ArrayLike, n: ArrayLike, n_star: ArrayLike, alpha: ArrayLike) -> FloatArray:
    """The same of an estimate that is z standard errors from 0."""
    k, (score,) = _information(n, n_star, alpha, sides=2), floats(z)
    log_p = 0.5 * (np.log1p(k) - score * score / (1.0 + 1.0 / k))
    return np.asarray(np.exp(np.minimum(log_p, 0.0)))


@quiet
def always_valid_one_sided_interval(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    n: ArrayLike,
    n_star: ArrayLike,
    alpha: ArrayLike,
    *,
    alternative: Alternative = "greater",
) -> Interval:
    """One-sided 1 - alpha interval (eq. 134): [lower, inf) for "greater", (-inf, upper] for "less".

    Arguments and NaN as in `always_valid_interval`; alpha must be under 0.5.
    """
    _check_alternative(alternative)
    k = _information(n, n_star, alpha, sides=1)
    width = 2.0 * (1.0 + 1.0 / k) * np.log1p(np.sqrt(1.0 + k) / (2.0 * alpha_level(alpha)))
    both = centred(estimate, positive(standard_error) * np.sqrt(width))
    if alternative == "greater":
        return Interval(both.lower, np.where(np.isnan(both.lower), np.nan, np.inf))
    return Interval(np.where(np.isnan(both.upper), np.nan, -np.inf), both.upper)


@quiet
def always_valid_one_sided_p_value(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    n: ArrayLike,
    n_star: ArrayLike,
    alpha: ArrayLike,
    *,
    alternative: Alternative = "greater",
) -> FloatArray:
    """p-value of "the effect is not above 0" ("greater") or "not below 0" ("less"), at most 1.

    The inverse of the interval of eq. 134 at fixed rho: sqrt(1 + k) / (2 (exp(z^2 / (2 (1 + 1/k))) - 1)), and 1 where
    the estimate points the other way. `alpha` (under 0.5) only sets rho.
    """
    _check_alternative(alternative)
    k = _information(n, n_star, alpha, sides=1)
    z = finite(estimate) / positive(standard_error)
    z = np.where(z < 0, 0.0, z) if alternative == "greater" else np.where(z > 0, 0.0, z)
    p_value = np.sqrt(1.0 + k) / (2.0 * np.expm1(0.5 * z * z / (1.0 + 1.0 / k)))
    return np.asarray(np.minimum(p_value, 1.0))


def _check_alternative(alternative: str) -> None:
    if alternative not in ("greater", "less"):
        raise StatisticsError(f"alternative is {alternative!r}, but must be 'greater' or 'less'; choose the side.")
