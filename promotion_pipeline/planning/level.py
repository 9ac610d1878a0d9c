"""The level of a metric that is given instead of measured: a rate, or a mean with its standard deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from promotion_pipeline.config import PrimaryMetric
from promotion_pipeline.errors import InputError
from promotion_pipeline.planning.question import Traffic

GIVE_BOTH = "give --mean and --standard-deviation, for example --mean 24 --standard-deviation 60"


@dataclass(frozen=True)
class Level:
    """What is given of control's level of the metric; None: nothing."""

    rate: float | None = None
    """Conversions a request."""
    mean: float | None = None
    standard_deviation: float | None = None
    """Of the values of requests, or of users' totals."""
    is_of_users: bool = False
    """Mean and standard deviation are of a user's total."""

    def is_value(self, metric: PrimaryMetric) -> bool:
        """Whether what is planned has a mean, and not a rate."""
        return metric is not PrimaryMetric.CONVERSION or (self.mean, self.standard_deviation) != (None, None)

    def has_a_number_a_user(self, metric: PrimaryMetric) -> bool:
        """Whether the given mean is that of users' totals."""
        return self.mean is not None and (self.is_of_users or metric is PrimaryMetric.VALUE_PER_USER)

    def traffic_like(
        self, traffic: Traffic | None, metric: PrimaryMetric, requests_per_user: float | None
    ) -> dict[str, Any] | None:
        """Fields of `Traffic` that follow from what is given; None: nothing is.

        Args:
            traffic: what was measured, whose users are taken where none are given.
            metric: the primary metric of the thresholds.

        Raises:
            InputError: a rate for a value or both, a mean without its standard deviation, or a mean of users without
                their requests; the message says what to give.
        """
        if self.rate is not None and self.is_value(metric):
            raise InputError(
                f"--rate {self.rate:g} is of conversions, and a value has a mean (primary_metric={metric.value}):"
                f" {GIVE_BOTH}, without --rate"
            )
        if self.rate is not None:
            return {"mean": self.rate}
        if self.mean is None and self.standard_deviation is None and not self.is_of_users:
            return None
        if self.mean is None or self.standard_deviation is None:
            raise InputError(f"a value is planned by its mean and by how much it varies: {GIVE_BOTH}")
        if not (0 < self.mean < math.inf and 0 < self.standard_deviation < math.inf):
            raise InputError(
                f"--mean {self.mean:g} --standard-deviation {self.standard_deviation:g}: both must be above 0"
            )
        relative = (self.standard_deviation / self.mean) ** 2
        if self.has_a_number_a_user(metric):
            # One independent number a user: that many requests are worth one.
            relative *= self._requests_of_a_user(traffic, requests_per_user)
        own = {"mean": self.mean, "is_proportion": False, "relative_variance": relative, "design_effect": 1.0}
        known = None if traffic is None else traffic.conversions_a_request
        return own | {"conversion_rate": known}

    @staticmethod
    def _requests_of_a_user(traffic: Traffic | None, given: float | None) -> float:
        found = given if given is not None or traffic is None else traffic.requests_per_user
        if found is None:
            raise InputError("a mean of users needs how many requests each makes: give --requests-per-user, 1 or more")
        return found
