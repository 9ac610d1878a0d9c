"""Promises held against what came: how many intervals held, and how much of the sum came true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet
from promotion_pipeline.statistics.intervals import Interval
from promotion_pipeline.statistics.normal import critical_z


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What became of a set of promises; NaN where there is none."""

    promises: int
    """Those of which promise, outcome and both standard errors are known."""
    held: int
    """Of these, outcomes within the interval that promise and measurement leave them."""
    held_lower: float
    """Exact interval of the share that holds, of its level."""
    held_upper: float
    promised_sum: float
    realised_sum: float
    came_true: float
    """realised_sum / promised_sum."""
    came_true_error: float
    """Standard error of that, from the outcomes' errors; the promises are taken as given."""


@quiet
def holds(
    promised: ArrayLike,
    promised_error: ArrayLike,
    realised: ArrayLike,
    realised_error: ArrayLike,
    *,
    alpha: float = 0.05,
) -> FloatArray:
    """1 where |realised - promised| <= z sqrt(promised_error^2 + realised_error^2), 0 where not, NaN where unknown.

    Both are noisy: an outcome outside of the promise's own interval may be the outcome's noise. An unbiased promise
    with a true standard error holds in 1 - alpha of the cases, if the effect does not change.
    """
    promise, own, outcome, others = floats(promised, promised_error, realised, realised_error)
    distance, room = np.abs(outcome - promise), critical_z(alpha) * np.sqrt(own**2 + others**2)
    return np.where(np.isfinite(distance + room), distance <= room, np.nan)


@quiet
def calibration(
    promised: ArrayLike,
    promised_error: ArrayLike,
    realised: ArrayLike,
    realised_error: ArrayLike,
    *,
    alpha: float = 0.05,
) -> Calibration:
    """How a programme's promises held: one-dimensional arrays, a promotion each; pairs that are not known do not count.

    The share is Clopper & Pearson's (1934, Biometrika 26:404-413); the sum that came true has the standard error
    sqrt(sum realised_error^2) / |sum promised|.
    """
    promise, own, outcome, others = (
        np.atleast_1d(x) for x in floats(promised, promised_error, realised, realised_error)
    )
    kept = holds(promise, own, outcome, others, alpha=alpha)
    known = np.isfinite(kept)
    n, held = int(known.sum()), int(np.nansum(kept))
    share = exact_share(held, n, alpha)
    total, came = float(promise[known].sum()), float(outcome[known].sum())
    return Calibration(
        promises=n,
        held=held,
        held_lower=float(share.lower),
        held_upper=float(share.upper),
        promised_sum=total,
        realised_sum=came,
        came_true=came / total if n and total != 0 else float("nan"),
        came_true_error=float(np.sqrt((others[known] ** 2).sum()) / abs(total)) if n and total != 0 else float("nan"),
    )


def exact_share(successes: int, n: int, alpha: float = 0.05) -> Interval:
    """Clopper-Pearson interval of a share; NaN where n is 0."""
    if n == 0:
        return Interval(np.asarray(np.nan), np.asarray(np.nan))
    lower = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, alpha / 2))
    upper = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - alpha / 2))
    return Interval(np.asarray(lower), np.asarray(upper))
