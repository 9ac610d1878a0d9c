"""The metrics that an experiment states beside its primary one: one class a kind, the dispatch to it, their estimates.

Not the classes of `PrimaryMetric`: those are made of the rollups, these of the metrics' own sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, assert_never

import numpy as np

from promotion_pipeline.config import MetricKind
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.statistics import largest_share_bound, leverage_inflation, ratio_of_sums

Sums = dict[str, Floats]


@dataclass(frozen=True)
class StatedEstimate:
    """A metric in each arm, arrays (slots, lanes, hours); NaN where not measured. Variances are of the mean."""

    mean: Floats
    variance: Floats
    """As the field's textbooks and libraries take it."""
    inverse_freedom: Floats
    """1 / degrees of freedom of it."""
    sample: Floats
    """Over how many users or requests."""
    careful_variance: Floats
    """What the always-valid tests go by: never surer than the largest user, or than independent requests, allow."""
    careful_inverse_freedom: Floats
    is_impossible: Bools
    """Whether the sums contradict themselves."""


class StatedMetricKind(ABC):
    """One kind of stated metric: what it needs, and what follows from that. Arrays are of lanes of this kind alone."""

    sums: ClassVar[tuple[str, ...]]
    """Columns of the metrics frame that it is made of."""
    needed: ClassVar[tuple[str, ...]]
    """Those without which it is not measured."""
    needs_users: ClassVar[bool]

    @abstractmethod
    def estimate(self, sums: Sums) -> StatedEstimate:
        """Mean and variance from cumulative sums; O(cells)."""


class UserMean(StatedMetricKind):
    """Mean of the users' totals: values summed up, or events counted."""

    sums = needed = ("new_users", "value_sum", "user_value_sum_squares")
    needs_users = True

    def estimate(self, sums: Sums) -> StatedEstimate:
        """The mean of users and the variance of that, users being independent."""
        n, total, squares = (sums[name] for name in self.sums)
        with np.errstate(all="ignore"):
            mean = np.where(n > 0, total / n, np.nan)
            spread = np.maximum(squares - total * mean, 0.0)
            variance = np.where(n > 1, spread / ((n - 1.0) * n), np.nan)
            freedom = np.where(n > 1, 1.0 / (n - 1.0), np.nan)
            impossible = (n < 0) | (squares < 0)
        return StatedEstimate(mean, variance, freedom, n, variance, freedom, impossible)


class UserProportion(UserMean):
    """Share of the users with such an event: each user's total is 0 or 1."""

    def estimate(self, sums: Sums) -> StatedEstimate:
        """As a mean of users; more users with an event than users there cannot be."""
        found = super().estimate(sums)
        users, total = sums["new_users"], sums["value_sum"]
        with np.errstate(invalid="ignore"):
            impossible = found.is_impossible | (total < 0) | (total > users)
        return StatedEstimate(**(vars(found) | {"is_impossible": impossible}))


class OfTwoSums(StatedMetricKind):
    """The quotient of two sums over users, by the delta method."""

    sums = needed = (
        "new_users",
        "value_sum",
        "user_value_sum_squares",
        "denominator_sum",
        "user_denominator_sum_squares",
        "user_value_denominator_sum_products",
    )
    needs_users = True

    def estimate(self, sums: Sums) -> StatedEstimate:
        """The ratio; its always-valid variance as unsure as the user with the most of the denominator makes it."""
        n, y, yy, d, dd, yd = (sums[name] for name in self.sums)
        return by_users(n, y, yy, d, dd, yd, n)


class RequestMean(StatedMetricKind):
    """Mean of a column of the log over its requests; a request without a user is a user of its own."""

    needed = ("requests", "value_sum", "value_sum_squares")
    sums = (*needed, *OfTwoSums.sums[:1], *OfTwoSums.sums[2:])
    needs_users = False

    def estimate(self, sums: Sums) -> StatedEstimate:
        """The mean of requests; its variance over users where they are known, else over requests."""
        n, y, squares, users, yy, d, dd, yd = (sums[name] for name in self.sums)
        with np.errstate(all="ignore"):
            mean = np.where(n > 0, y / n, np.nan)
            spread = np.maximum(squares - y * mean, 0.0)
            by_request = np.where(n > 1, spread / ((n - 1.0) * n), np.nan)
            freedom = np.where(n > 1, 1.0 / (n - 1.0), np.nan)
            impossible = (n < 0) | (squares < 0)
            known = (users > 0) & (d > 0)
        if not known.any():
            return StatedEstimate(mean, by_request, freedom, n, by_request, freedom, impossible)
        with np.errstate(all="ignore"):
            alone = np.maximum(n - d, 0.0)
            nobody = np.where(n > 0, alone / n, 0.0)
        found = by_users(users + alone, y, yy + nobody * squares, n, dd + alone, yd + nobody * y, n)
        return StatedEstimate(
            mean=mean,
            variance=np.where(known, found.variance, by_request),
            inverse_freedom=np.where(known, found.inverse_freedom, freedom),
            sample=n,
            careful_variance=np.where(known, np.fmax(found.careful_variance, by_request), by_request),
            careful_inverse_freedom=np.where(known, found.careful_inverse_freedom, freedom),
            is_impossible=impossible | (known & found.is_impossible),
        )


def by_users(count: Floats, y: Floats, yy: Floats, d: Floats, dd: Floats, yd: Floats, sample: Floats) -> StatedEstimate:
    """The ratio y / d of sums over `count` users."""
    ratio = ratio_of_sums(count, y, yy, d, dd, yd)
    with np.errstate(all="ignore"):
        squares = np.minimum(dd / (d * d), 1.0)
        largest = np.maximum(largest_share_bound(count, squares), squares)
        inflation = leverage_inflation(count, squares, largest)
        return StatedEstimate(
            mean=ratio.ratio,
            variance=ratio.variance_of_ratio,
            inverse_freedom=np.where(count > 1, 1.0 / (count - 1.0), np.nan),
            sample=sample,
            careful_variance=ratio.variance_of_ratio * inflation,
            careful_inverse_freedom=np.where(squares < 1, squares / (1.0 - squares), np.nan),
            is_impossible=(count < 0) | (yy < 0) | (dd < 0),
        )


def stated_kind_of(kind: MetricKind) -> StatedMetricKind:
    """The class of a kind.

    Raises:
        AssertionError: nobody wrote a class for it.
    """
    match kind:
        case MetricKind.USER_PROPORTION:
            return UserProportion()
        case MetricKind.USER_MEAN | MetricKind.USER_COUNT:
            return UserMean()
        case MetricKind.REQUEST_MEAN:
            return RequestMean()
        case MetricKind.RATIO:
            return OfTwoSums()
        case _:
            assert_never(kind)
