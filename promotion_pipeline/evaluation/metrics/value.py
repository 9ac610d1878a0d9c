"""The metric that an experiment is decided on: its mean in each arm and the variance of that mean.

Arrays are (slots, units, hours). Where users are known the variance is user-level: several requests of one user are
one observation, by the delta method for ratio metrics. It is corrected for users who make much of the arm, and never
less than at request level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import PrimaryMetric
from promotion_pipeline.evaluation.clusters import Clusters, known_users
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints
from promotion_pipeline.statistics import leverage_inflation, proportion_variance_of_mean, ratio_of_sums

USER_VALUE_SUMS = ("user_value_sum_squares", "user_value_requests_sum_products")


@dataclass(frozen=True)
class Primary:
    """Mean of the primary metric and the variance of that mean; NaN where not measured."""

    mean: Floats
    variance: Floats
    inverse_freedom: Floats
    """1 / degrees of freedom of that variance: what few or unequal users leave of it. 0: as good as known."""


def conversion_rate(sums: dict[str, Floats], clusters: Clusters) -> Primary:
    """Conversions a request. A request without a user is a user of its own with one request."""
    n, x = sums["requests"], sums["conversions"]
    with np.errstate(all="ignore"):
        # A quotient of whole numbers, so that 50 of 1000 is exactly the threshold 0.05.
        rate = np.where(n > 0, x / n, np.nan)
    by_request = proportion_variance_of_mean(x, n)
    users, alone = known_users(sums)
    if not (users > 0).any() or "user_requests_sum_squares" not in sums:
        return Primary(rate, by_request, clusters.inverse_freedom)
    known_x = sums["user_conversions"] if "user_conversions" in sums else np.where(users > 0, x, 0.0)
    by_user = ratio_of_sums(
        users + alone,
        x,
        sums["user_conversions_sum_squares"] + (x - known_x),
        n,
        sums["user_requests_sum_squares"] + alone,
        sums["user_conversions_requests_sum_products"] + (x - known_x),
    ).variance_of_ratio
    return Primary(rate, _of_users(by_user, by_request, users > 0, clusters), clusters.inverse_freedom)


def mean_value(sums: dict[str, Floats], clusters: Clusters) -> Primary:
    """Value a request; where some requests have no user, these are taken to be worth as much as the others.

    Imported sums may know users and not their values. Then all requests of a user are taken to be worth the same:
    nothing correlates them more, and the variance is that of requests times sum d^2 / sum d (Kish 1965, Survey
    Sampling, section 8.2, with a correlation of 1).
    """
    n, total = sums["requests"], sums.get("value_sum")
    if total is None or "value_sum_squares" not in sums:
        return _unknown(n)
    with np.errstate(all="ignore"):
        mean = np.where(n > 0, total / n, np.nan)
        by_request = np.where(n > 1, np.maximum(sums["value_sum_squares"] - n * mean**2, 0) / ((n - 1) * n), np.nan)
        users, alone = known_users(sums)
        if not (users > 0).any() or "user_requests_sum_squares" not in sums:
            return Primary(mean, by_request, np.zeros_like(n))
        by_user = by_request * clusters.sum_square_shares * n
        if all(name in sums for name in USER_VALUE_SUMS):
            nobody = np.where(n > 0, alone / n, 0.0)
            measured = ratio_of_sums(
                users + alone,
                total,
                sums["user_value_sum_squares"] + nobody * sums["value_sum_squares"],
                n,
                sums["user_requests_sum_squares"] + alone,
                sums["user_value_requests_sum_products"] + nobody * total,
            ).variance_of_ratio
            by_user = np.where(sums["user_value_sum_squares"] > 0, measured, by_user)
    return Primary(mean, _of_users(by_user, by_request, users > 0, clusters), clusters.inverse_freedom)


def value_per_user(sums: dict[str, Floats], _: Clusters) -> Primary:
    """Value a user; NaN unless every request has a user. Users weigh alike, however many requests they make."""
    users, alone = known_users(sums)
    total = sums.get("value_sum")
    if total is None or "user_value_sum_squares" not in sums:
        return _unknown(users)
    with np.errstate(all="ignore"):
        usable = (users > 1) & (alone == 0)
        mean = np.where(usable, total / users, np.nan)
        variance = np.maximum(sums["user_value_sum_squares"] - users * mean**2, 0) / ((users - 1) * users)
        return Primary(mean, np.where(usable, variance, np.nan), np.where(usable, 1.0 / (users - 1.0), np.nan))


def _of_users(by_user: Floats, by_request: Floats, known: Bools, clusters: Clusters) -> Floats:
    """The user-level variance, as unsure as its largest user makes it and never surer than at request level."""
    inflation = leverage_inflation(clusters.count, clusters.sum_square_shares, clusters.largest_share)
    with np.errstate(invalid="ignore"):
        return np.where(known, np.maximum(by_user * inflation, by_request), by_request)


def _unknown(like: Floats) -> Primary:
    return Primary(np.full_like(like, np.nan), np.full_like(like, np.nan), np.zeros_like(like))


def primary_of(sums: dict[str, Floats], metric: Ints, clusters: Clusters) -> Primary:
    """Each unit's own primary metric; `metric` is the position in `PrimaryMetric`, shape (units,)."""
    kinds = list(PrimaryMetric)
    chosen = conversion_rate(sums, clusters)
    for kind, measure in ((PrimaryMetric.VALUE_MEAN, mean_value), (PrimaryMetric.VALUE_PER_USER, value_per_user)):
        units: Bools = metric == kinds.index(kind)
        if units.any():
            behind = Clusters(**{name: values[:, units] for name, values in vars(clusters).items()})
            own = measure({name: values[:, units] for name, values in sums.items()}, behind)
            chosen.mean[:, units], chosen.variance[:, units] = own.mean, own.variance
            chosen = _with_freedom(chosen, own.inverse_freedom, units)
    return chosen


def _with_freedom(chosen: Primary, freedom: Floats, units: Bools) -> Primary:
    """`chosen` with other degrees of freedom for some units; those of no user are broadcast and cannot be written."""
    joined = np.array(chosen.inverse_freedom)
    joined[:, units] = freedom
    return Primary(chosen.mean, chosen.variance, joined)
