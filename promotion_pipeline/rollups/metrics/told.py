"""What people should know of metrics that cannot be measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promotion_pipeline.config.choices import MetricKind
from promotion_pipeline.config.metrics import MetricConfig
from promotion_pipeline.rollups.metrics.definitions import PhaseMetrics
from promotion_pipeline.rollups.metrics.reading import MetricReader


def problems_of(phases: Sequence[PhaseMetrics], reader: MetricReader) -> tuple[str, ...]:
    """What the log cannot say for the metrics of open phases, a sentence each."""
    return tuple(
        f"{phase.experiment_name}: metric {metric.name!r} cannot be measured: {problem}"
        for phase in phases
        if phase.ended_at is None
        for metric in phase.metrics
        for problem in _problems(metric, reader)
    )


def _problems(metric: MetricConfig, reader: MetricReader) -> Iterator[str]:
    if metric.column is not None and not reader.has_column(metric.column):
        yield (
            f"{reader.name} has no column for {metric.column!r}; a log elsewhere may name more of them under"
            " [metric_columns] in AUTO_PROMOTION_SOURCE"
        )
    elif metric.kind not in (MetricKind.REQUEST_MEAN, MetricKind.RATIO) and not reader.log.with_users:
        yield f"{metric.kind.value} is of users, and {reader.name} does not say whose a request is"
    if metric.covariate is not None and metric.column is not None and not reader.reads_pasts:
        yield f"{reader.name} is not asked for users' pasts: its covariate needs a metric of events"
