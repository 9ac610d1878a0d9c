"""Conversions a request: the metric of whoever names none."""

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
    more_often_z,
    proportion_variance_of_mean,
    ratio_of_sums,
    two_proportion_z,
)


class Conversion(PrimaryMetricKind):
    """Conversions a request, compared by the pooled z-test. A request without a user is a user of its own."""

    is_proportion: ClassVar[bool] = True
    watched_as: ClassVar[Literal["conversion", "value"]] = "conversion"

    def estimate(self, sums: dict[str, Floats], clusters: Clusters) -> MetricEstimate:
        """The rate; its variance by the delta method over users."""
        n, x = sums["requests"], sums["conversions"]
        with np.errstate(all="ignore"):
            # A quotient of whole numbers, so that 50 of 1000 is exactly the threshold 0.05.
            rate = np.where(n > 0, x / n, np.nan)
        by_request = proportion_variance_of_mean(x, n)
        if not by_user(sums, clusters):
            return MetricEstimate(rate, by_request, clusters.inverse_freedom, x, n)
        known, alone = clusters.users > 0, clusters.anonymous
        known_x = sums["user_conversions"] if "user_conversions" in sums else np.where(known, x, 0.0)
        variance = ratio_of_sums(
            clusters.count,
            x,
            sums["user_conversions_sum_squares"] + (x - known_x),
            n,
            sums["user_requests_sum_squares"] + alone,
            sums["user_conversions_requests_sum_products"] + (x - known_x),
        ).variance_of_ratio
        return MetricEstimate(rate, user_level(variance, by_request, known, clusters), clusters.inverse_freedom, x, n)

    def z_test(self, estimate: MetricEstimate) -> ZTest:
        """The pooled test of the contract, at request level."""
        x, n = estimate.total, estimate.sample
        return two_proportion_z(x[:1], n[:1], x[1:], n[1:])

    def improvement_percent(self, estimate: MetricEstimate) -> Floats:
        """As one quotient of whole numbers, so that exactly +5 % is 5.0; NaN where control has no conversion."""
        x, n = estimate.total, estimate.sample
        x0, n0, x1, n1 = x[:1], n[:1], x[1:], n[1:]
        with np.errstate(all="ignore"):
            return np.where(x0 > 0, 100.0 * (x1 * n0 - x0 * n1) / (x0 * n1), np.nan)

    def watched_total(self, sums: MaturedSums) -> float:
        """Converted requests."""
        return sums.conversions

    def rise_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """Also by the exact test: a z of a few rare events promises too much."""
        return float(more_often_z(*_counts(reference, after)))

    def fall_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """By the pooled z-test."""
        return -float(two_proportion_z(*_counts(reference, after)).z)


def _counts(reference: MaturedSums, after: MaturedSums) -> tuple[float, float, float, float]:
    return reference.conversions, reference.matured_requests, after.conversions, after.matured_requests
