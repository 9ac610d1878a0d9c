"""What requests are worth: a request, or a user."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from promotion_pipeline.evaluation.clusters import Clusters
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.evaluation.metrics.kind import (
    MaturedSums,
    MetricEstimate,
    PrimaryMetricKind,
    by_user,
    user_level,
)
from promotion_pipeline.statistics import (
    ZTest,
    mean_variance_of_mean,
    ratio_of_sums,
    relative_lift,
    two_sided_p_value,
    welch_from_means,
)

USER_VALUE_SUMS = ("user_value_sum_squares", "user_value_requests_sum_products")


class ValueMean(PrimaryMetricKind):
    """Value a request; where some requests have no user, these are taken to be worth as much as the others.

    Imported sums may know users and not their values. Then all requests of a user are taken to be worth the same:
    nothing correlates them more, and the variance is that of requests times sum d^2 / sum d (Kish 1965, Survey
    Sampling, section 8.2, with a correlation of 1).
    """

    is_proportion: ClassVar[bool] = False
    watched_as: ClassVar[Literal["conversion", "value"]] = "value"

    def estimate(self, sums: dict[str, Floats], clusters: Clusters) -> MetricEstimate:
        """The mean of requests; its variance by the delta method over users. NaN where no value is kept."""
        n, total = sums["requests"], sums.get("value_sum")
        if total is None or "value_sum_squares" not in sums:
            return _unknown(n)
        with np.errstate(all="ignore"):
            mean = np.where(n > 0, total / n, np.nan)
            by_request = np.where(n > 1, np.maximum(sums["value_sum_squares"] - n * mean**2, 0) / ((n - 1) * n), np.nan)
            if not by_user(sums, clusters):
                return MetricEstimate(mean, by_request, np.zeros_like(n), total, n)
            variance = by_request * clusters.sum_square_shares * n
            if all(name in sums for name in USER_VALUE_SUMS):
                nobody = np.where(n > 0, clusters.anonymous / n, 0.0)
                measured = ratio_of_sums(
                    clusters.count,
                    total,
                    sums["user_value_sum_squares"] + nobody * sums["value_sum_squares"],
                    n,
                    sums["user_requests_sum_squares"] + clusters.anonymous,
                    sums["user_value_requests_sum_products"] + nobody * total,
                ).variance_of_ratio
                variance = np.where(sums["user_value_sum_squares"] > 0, measured, variance)
        known = clusters.users > 0
        variance = user_level(variance, by_request, known, clusters)
        return MetricEstimate(mean, variance, clusters.inverse_freedom, total, n)

    def z_test(self, estimate: MetricEstimate) -> ZTest:
        """(m1 - m0) / sqrt(v0 + v1), the z-test of Welch's form."""
        mean, variance = estimate.mean, estimate.variance
        with np.errstate(all="ignore"):
            total = variance[:1] + variance[1:]
            z = np.where(total > 0, (mean[1:] - mean[:1]) / np.sqrt(total), np.nan)
        return ZTest(z, two_sided_p_value(z))

    def improvement_percent(self, estimate: MetricEstimate) -> Floats:
        """Of the means."""
        mean, variance = estimate.mean, estimate.variance
        return np.asarray(100.0 * relative_lift(mean[:1], variance[:1], mean[1:], variance[1:]).lift)

    def watched_total(self, sums: MaturedSums) -> float:
        """Value of the requests."""
        return sums.value_sum

    def rise_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """Welch's t."""
        (n0, mean0, variance0), (n1, mean1, variance1) = (_mean(sums) for sums in (reference, after))
        return float(welch_from_means(n0, mean0, variance0, n1, mean1, variance1, "absolute", 0.05).t)

    def fall_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """Welch's t."""
        return -self.rise_z(reference, after)


class ValuePerUser(ValueMean):
    """Value a user; NaN unless every request has a user. Users weigh alike, however many requests they make.

    The watch keeps no users: it looks at the value of a request.
    """

    def estimate(self, sums: dict[str, Floats], clusters: Clusters) -> MetricEstimate:
        """The mean of users and the variance of that."""
        users, total = clusters.users, sums.get("value_sum")
        if total is None or "user_value_sum_squares" not in sums:
            return _unknown(users)
        with np.errstate(all="ignore"):
            usable = (users > 1) & (clusters.anonymous == 0)
            mean = np.where(usable, total / users, np.nan)
            variance = np.maximum(sums["user_value_sum_squares"] - users * mean**2, 0) / ((users - 1) * users)
            freedom = np.where(usable, 1.0 / (users - 1.0), np.nan)
            return MetricEstimate(mean, np.where(usable, variance, np.nan), freedom, total, users)


def _unknown(like: Floats) -> MetricEstimate:
    nothing = np.full_like(like, np.nan)
    return MetricEstimate(nothing, nothing, np.zeros_like(like), nothing, like)


def _mean(sums: MaturedSums) -> tuple[float, float, float]:
    mean, variance = mean_variance_of_mean(sums.matured_requests, sums.value_sum, sums.value_sum_squares)
    return sums.matured_requests, float(mean), float(variance)
