"""What every variant did so far: counts, rates, and the metric that it is judged on; arrays (slots, units, hours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.evaluation.clusters import Clusters, clusters_of
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.evaluation.metrics import MetricEstimate, estimates
from promotion_pipeline.evaluation.sums import Block

MOST_WITHOUT_USER = 0.1
"""Share of the requests that may name no user where it is judged by user."""


@dataclass(frozen=True)
class Arms:
    """Counts of every variant; rates are fractions, NaN without requests."""

    requests: Floats
    conversions: Floats
    errors: Floats
    clusters: Clusters
    """The users behind the requests."""
    rate: Floats
    error_rate: Floats
    mean_latency_ms: Floats
    mean_value: Floats
    primary: MetricEstimate
    """The metric that the unit is decided on."""

    @property
    def users(self) -> Floats:
        """Known users."""
        return self.clusters.users

    @property
    def largest_user_share(self) -> Floats:
        """At most this is the largest user's share of the arm's requests; NaN unless one has more than 1 percent."""
        return np.where(self.clusters.large_user, self.clusters.largest_share, np.nan)


def arms_of(block: Block) -> Arms:
    """Rates and variances from the sums of a block; O(cells)."""
    sums = block.sums
    n, x, errors = sums["requests"], sums["conversions"], sums["errors"]
    clusters = clusters_of(sums)
    samples = sums.get("latency_samples", n)
    return Arms(
        requests=n,
        conversions=x,
        errors=errors,
        clusters=clusters,
        rate=_mean(x, n),
        error_rate=_mean(errors, n),
        mean_latency_ms=_mean(sums["latency_ms_sum"], samples) if "latency_ms_sum" in sums else _unknown(n),
        mean_value=_mean(sums["value_sum"], n) if "value_sum" in sums else _unknown(n),
        primary=estimates(block.layout.thresholds.metric, sums, clusters),
    )


def known_by_user(own: Arms) -> Bools:
    """Whether a user is known for 90 percent of the requests or more, (units, hours)."""
    users, anonymous = own.clusters.users, own.clusters.anonymous
    return np.asarray((users.sum(axis=0) > 0) & (anonymous.sum(axis=0) <= MOST_WITHOUT_USER * own.requests.sum(axis=0)))


def _mean(total: Floats, count: Floats) -> Floats:
    with np.errstate(all="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _unknown(like: Floats) -> Floats:
    return np.full_like(like, np.nan)
