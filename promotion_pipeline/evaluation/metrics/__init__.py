"""The metrics that an experiment can be decided on: one class a kind, and the dispatch from `PrimaryMetric` to it.

Not here: what is done with a metric (compare, guardrails, decide), whatever its kind.
"""

from promotion_pipeline.evaluation.metrics.dispatch import (
    are_proportions,
    estimates,
    improvements_percent,
    kind_of,
    z_tests,
)
from promotion_pipeline.evaluation.metrics.kind import MaturedSums, MetricEstimate, PrimaryMetricKind

__all__ = [
    "MaturedSums",
    "MetricEstimate",
    "PrimaryMetricKind",
    "are_proportions",
    "estimates",
    "improvements_percent",
    "kind_of",
    "z_tests",
]
