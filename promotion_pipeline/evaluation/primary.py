"""The metric that an experiment is decided on: its mean in each arm and the variance of that mean.

Arrays are (slots, units, hours). Where users are known the variance is user-level: several requests of one user are
one observation, by the delta method for ratio metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import PrimaryMetric
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints
from promotion_pipeline.statistics import proportion_variance_of_mean, ratio_of_sums

USER_VALUE_SUMS = ("user_value_sum_squares", "user_value_requests_sum_products")


@dataclass(frozen=True)
class Primary:
    """Mean of the primary metric and the variance of that mean; NaN where not measured."""

    mean: Floats
    variance: Floats


def known_users(sums: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Known users, and requests without one; sums without user columns know none."""
    requests = sums["requests"]
    if "new_users" not in sums:
        return np.zeros_like(requests), requests
    known = sums["user_requests"] if "user_requests" in sums else np.where(sums["new_users"] > 0, requests, 0.0)
    return sums["new_users"], requests - known


def conversion_rate(sums: dict[str, Floats]) -> Primary:
    """Conversions a request. A request without a user is a user of its own with one request."""
    n, x = sums["requests"], sums["conversions"]
    with np.errstate(all="ignore"):
        # A quotient of whole numbers, so that 50 of 1000 is exactly the threshold 0.05.
        rate = np.where(n > 0, x / n, np.nan)
    by_request = proportion_variance_of_mean(x, n)
    users, alone = known_users(sums)
    if not (users > 0).any() or "user_requests_sum_squares" not in sums:
        return Primary(rate, by_request)
    known_x = sums["user_conversions"] if "user_conversions" in sums else np.where(users > 0, x, 0.0)
    by_user = ratio_of_sums(
        users + alone,
        x,
        sums["user_conversions_sum_squares"] + (x - known_x),
        n,
        sums["user_requests_sum_squares"] + alone,
        sums["user_conversions_requests_sum_products"] + (x - known_x),
    ).variance_of_ratio
    return Primary(rate, np.where(users > 0, by_user, by_request))


def mean_value(sums: dict[str, Floats]) -> Primary:
    """Value a request; user-level where every request has a user, else over requests."""
    n, total = sums["requests"], sums.get("value_sum")
    if total is None or "value_sum_squares" not in sums:
        return _unknown(n)
    with np.errstate(all="ignore"):
        mean = np.where(n > 0, total / n, np.nan)
        by_request = np.where(n > 1, np.maximum(sums["value_sum_squares"] - n * mean**2, 0) / ((n - 1) * n), np.nan)
    users, alone = known_users(sums)
    if not (users > 0).any() or not all(name in sums for name in USER_VALUE_SUMS):
        return Primary(mean, by_request)
    by_user = ratio_of_sums(
        users,
        total,
        sums["user_value_sum_squares"],
        n,
        sums["user_requests_sum_squares"],
        sums["user_value_requests_sum_products"],
    ).variance_of_ratio
    return Primary(mean, np.where((users > 0) & (alone == 0), by_user, by_request))


def value_per_user(sums: dict[str, Floats]) -> Primary:
    """Value a user; NaN unless every request has a user."""
    users, alone = known_users(sums)
    total = sums.get("value_sum")
    if total is None or "user_value_sum_squares" not in sums:
        return _unknown(users)
    with np.errstate(all="ignore"):
        usable = (users > 1) & (alone == 0)
        mean = np.where(usable, total / users, np.nan)
        variance = np.maximum(sums["user_value_sum_squares"] - users * mean**2, 0) / ((users - 1) * users)
    return Primary(mean, np.where(usable, variance, np.nan))


def _unknown(like: Floats) -> Primary:
    return Primary(np.full_like(like, np.nan), np.full_like(like, np.nan))


def primary_of(sums: dict[str, Floats], metric: Ints) -> Primary:
    """Each unit's own primary metric; `metric` is the position in `PrimaryMetric`, shape (units,)."""
    kinds = list(PrimaryMetric)
    chosen = conversion_rate(sums)
    for kind, measure in ((PrimaryMetric.VALUE_MEAN, mean_value), (PrimaryMetric.VALUE_PER_USER, value_per_user)):
        units: Bools = metric == kinds.index(kind)
        if units.any():
            own = measure({name: values[:, units] for name, values in sums.items()})
            chosen.mean[:, units], chosen.variance[:, units] = own.mean, own.variance
    return chosen
