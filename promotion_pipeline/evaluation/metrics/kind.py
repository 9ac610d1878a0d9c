"""What every kind of metric answers: its mean, the variance of that, its test, and what the watch compares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from promotion_pipeline.evaluation.clusters import Clusters
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.statistics import ZTest, leverage_inflation


@dataclass(frozen=True)
class MetricEstimate:
    """Mean of a metric in each arm and the variance of that mean, (slots, units, hours); NaN where not measured.

    Where users are known the variance is user-level: several requests of one user are one observation, by the delta
    method for ratio metrics. It is corrected for users who make much of the arm, and never less than at request level.
    """

    mean: Floats
    variance: Floats
    inverse_freedom: Floats
    """1 / degrees of freedom of that variance: what few or unequal users leave of it. 0: as good as known."""
    total: Floats
    """What the mean is of, summed up."""
    sample: Floats
    """Over how many requests or users."""


class MaturedSums(Protocol):
    """What the watch knows of an arm's matured requests."""

    @property
    def matured_requests(self) -> float: ...
    @property
    def conversions(self) -> float: ...
    @property
    def value_sum(self) -> float: ...
    @property
    def value_sum_squares(self) -> float: ...


class PrimaryMetricKind(ABC):
    """One kind of metric. Arrays are (slots, units, hours), of the units that are decided on it alone."""

    is_proportion: ClassVar[bool]
    """Whether it counts requests with a yes or no: few of these need an interval of their own, and none no reason."""
    watched_as: ClassVar[Literal["conversion", "value"]]
    """What the watch after a promotion calls it; it keeps no users."""

    @abstractmethod
    def estimate(self, sums: dict[str, Floats], clusters: Clusters) -> MetricEstimate:
        """Mean and variance from cumulative sums; O(cells)."""

    @abstractmethod
    def z_test(self, estimate: MetricEstimate) -> ZTest:
        """Each treatment against control; positive where the treatment has more."""

    @abstractmethod
    def improvement_percent(self, estimate: MetricEstimate) -> Floats:
        """100 (m1 / m0 - 1) of each treatment, positive where the treatment has more."""

    @abstractmethod
    def watched_total(self, sums: MaturedSums) -> float:
        """What the watch divides by the matured requests."""

    @abstractmethod
    def rise_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """How surely the watched level is higher after than in the reference."""

    @abstractmethod
    def fall_z(self, reference: MaturedSums, after: MaturedSums) -> float:
        """How surely the watched level is lower after than in the reference."""


def by_user(sums: dict[str, Floats], clusters: Clusters) -> bool:
    """Whether the sums can say anything about users."""
    return bool((clusters.users > 0).any()) and "user_requests_sum_squares" in sums


def user_level(by_user: Floats, by_request: Floats, known: Bools, clusters: Clusters) -> Floats:
    """The user-level variance, as unsure as its largest user makes it and never surer than at request level."""
    inflation = leverage_inflation(clusters.count, clusters.sum_square_shares, clusters.largest_share)
    with np.errstate(invalid="ignore"):
        return np.where(known, np.maximum(by_user * inflation, by_request), by_request)
