"""Sample ratio mismatch that may be looked at after every hour: a Dirichlet-multinomial Bayes factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.srm import arms_first

DEFAULT_CONCENTRATION = 10_000.0
"""A prior this tight around the declared split looks for the small mismatches that real bugs cause."""
STIRLING_FROM = 10.0
"""From here on four terms of Stirling's series give the log of the gamma function to 1e-10."""


@dataclass(frozen=True, slots=True, eq=False)
class SequentialSrm:
    """One value a look: evidence for a mismatch so far, and the running p-value, valid at every look at once.

    The log marginal likelihoods are of the looks so far, under the declared split (`null`) and under the mixture.
    """

    p_value: FloatArray
    log_bayes_factor: FloatArray
    log_marginal_mixture: FloatArray
    log_marginal_null: FloatArray


@quiet
def sequential_srm(
    counts_per_look: ArrayLike,
    weights: ArrayLike,
    *,
    concentration: float = DEFAULT_CONCENTRATION,
    dirichlet_alpha: ArrayLike | None = None,
) -> SequentialSrm:
    """Test of the declared split at every look (Lindon & Malek 2022, "Anytime-Valid Inference For Multinomial
    Count Data", NeurIPS).

    Args:
        counts_per_look: (..., looks, k) new units of each arm at each look (increments, not totals).
        weights: (..., k) declared shares, normalised by their sum. An arm of weight 0 is left out; with traffic
            all the same, p is 0 from then on.
        concentration: the prior is Dirichlet(concentration * shares).
        dirichlet_alpha: (..., k) the prior itself, instead.

    The Bayes factor is at most 1/p except with chance p under the split (Ville), so p = min over looks of 1 / BF, at
    most 1. NaN before the first unit, with fewer than two arms, and with negative or NaN counts or weights.

    Raises:
        StatisticsError: the concentration or a prior parameter is not above 0.
    """
    counts, shares = floats(counts_per_look, weights)
    shares = shares[..., None, :]
    shares = shares / shares.sum(axis=-1, keepdims=True)
    prior = _prior(shares, concentration, dirichlet_alpha)
    live = shares > 0
    stray = np.cumsum(np.where(live, 0.0, counts), axis=-2).sum(axis=-1) > 0
    arriving = np.where(live, counts, 0.0)
    seen = np.cumsum(arriving, axis=-2)
    coefficient = np.cumsum(gammaln(arriving.sum(axis=-1) + 1.0) - gammaln(arriving + 1.0).sum(axis=-1), axis=-1)
    under_null = np.where(live, xlogy(seen, np.where(live, shares, 1.0)), 0.0).sum(axis=-1)
    under_mixture = _log_dirichlet(prior + seen, live) - _log_dirichlet(prior, live)
    sound = (shares >= 0).all(axis=-1) & (np.minimum.accumulate(counts, axis=-2) >= 0).all(axis=-1)
    usable = sound & (seen.sum(axis=-1) > 0) & (live.sum(axis=-1) >= 2)
    log_factor = np.where(usable, under_mixture - under_null, np.nan)
    log_factor = np.where(sound & stray, np.inf, log_factor)
    p_value = np.exp(np.fmin.accumulate(np.minimum(-log_factor, 0.0), axis=-1))
    return SequentialSrm(
        np.where(np.isnan(log_factor), np.nan, p_value),
        log_factor,
        np.where(usable, coefficient + under_mixture, np.nan),
        np.where(usable, coefficient + under_null, np.nan),
    )


@quiet
def sequential_srm_p_value(
    totals: ArrayLike, weights: ArrayLike, *, concentration: float = DEFAULT_CONCENTRATION, axis: int = -1
) -> FloatArray:
    """min(1, 1 / BF) of `sequential_srm` at looks whose earlier looks are not known, from the totals so far.

    The Bayes factor depends on the totals alone, so each look can be judged by itself: under the declared split this
    p-value falls to `a` or below at any look at all with chance `a` at most (Ville). It is not the running minimum.

    Args:
        totals: units of each arm so far, the k arms along `axis`; count the unit that is randomised (users).
        weights: declared shares, broadcastable to `totals`; normalised by their sum. An arm of weight 0 is left out;
            with traffic all the same, p is 0.
        concentration: the prior is Dirichlet(concentration * shares).

    NaN before the first unit, with fewer than two arms, and with negative or NaN totals or weights.

    Raises:
        StatisticsError: the concentration is not above 0, or there are not as many weights as arms.
    """
    if not concentration > 0:
        raise StatisticsError(f"concentration is {concentration:g}, but must be above 0; leave it out for 10000.")
    counts, shares = floats(totals, weights)
    counts, shares = arms_first(counts, shares, axis)
    live = shares > 0
    # One arm after another: numpy adds a single experiment's arms in another order than those of several.
    shares = shares / sum(shares, np.zeros(()))
    total = sum(counts, np.zeros(()))
    log_factor = _log_gamma(np.full((), concentration)) - _log_gamma(total + concentration)
    lowest, stray = np.full((), np.inf), np.zeros((), dtype=np.bool_)
    # Arm by arm and not in one array: a reduction over an axis of three is slow, and the weights stay small.
    for count, share, is_live in zip(counts, shares, live, strict=True):
        share = np.where(is_live, share, 1.0)
        prior = concentration * share
        gain = _log_gamma(count + prior) - (_log_gamma(prior) + count * np.log(share))
        log_factor = log_factor + (gain if is_live.all() else np.where(is_live, gain, 0.0))
        lowest = np.minimum(lowest, count)
        if not is_live.all():
            stray = stray | (~is_live & (count > 0))
    p_value = np.exp(np.minimum(-log_factor, 0.0))
    usable = (total > 0) & (lowest >= 0) & (shares >= 0).all(axis=0)
    p_value = np.where(usable & (live.sum(axis=0) >= 2), p_value, np.nan)
    return np.where(stray & usable, 0.0, p_value)


def _log_gamma(values: FloatArray) -> FloatArray:
    """Log of the gamma function; Stirling's series where it is exact, at a quarter of the cost.

    Value by value: another experiment's small count must not change how this one's is computed.
    """
    inverse = 1.0 / values
    square = inverse * inverse
    rest = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    found = np.asarray((values - 0.5) * np.log(values) - values + (0.5 * np.log(2.0 * np.pi) + rest))
    small = ~(values >= STIRLING_FROM)
    if small.any():
        found[small] = gammaln(values[small])
    return found


def _prior(shares: FloatArray, concentration: float, dirichlet_alpha: ArrayLike | None) -> FloatArray:
    if dirichlet_alpha is not None:
        prior = floats(dirichlet_alpha)[0][..., None, :]
        if np.any(prior <= 0):
            raise StatisticsError(f"dirichlet_alpha has {prior.min():g}, but must be above 0; use 1 for a flat prior.")
        return prior
    if not concentration > 0:
        raise StatisticsError(f"concentration is {concentration:g}, but must be above 0; leave it out for 10000.")
    return shares * concentration


def _log_dirichlet(parameters: FloatArray, live: FloatArray) -> FloatArray:
    """Log of the Dirichlet's normalising constant, over the live arms."""
    kept = np.where(live, parameters, 0.0)
    return np.asarray(np.where(live, gammaln(np.where(live, parameters, 1.0)), 0.0).sum(-1) - gammaln(kept.sum(-1)))
