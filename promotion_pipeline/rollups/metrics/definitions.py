"""What the metrics of phases are made of, as they are fixed in each phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promotion_pipeline.config.choices import MetricKind, MetricRole
from promotion_pipeline.config.metrics import MetricConfig, checked_metrics
from promotion_pipeline.rollups.sql.metric_query import Slot

PREFIX = "metric:"
"""Of the keys of `ab_experiment_phases.fixed` that are metrics."""


@dataclass(frozen=True)
class PhaseMetrics:
    """One phase that has metrics."""

    phase_id: str
    experiment_id: str
    experiment_name: str
    started_at: str
    """As PostgreSQL writes it."""
    ended_at: str | None
    metrics: tuple[MetricConfig, ...]
    """What they measure; roles, directions and margins are not fixed in a phase, and not here."""


def fixed_metrics(fixed: Mapping[str, Any]) -> tuple[MetricConfig, ...]:
    """The metrics of `ab_experiment_phases.fixed`; none where they are no metrics, which the evaluation tells."""
    named = {key.removeprefix(PREFIX): value for key, value in sorted(fixed.items()) if key.startswith(PREFIX)}
    try:
        # Of a phase's metrics some may be taken out since: together they may be more than an experiment can have.
        known = [
            MetricConfig.model_validate({**value, "name": name, "role": MetricRole.SECONDARY})
            for name, value in named.items()
        ]
        return tuple(known) if len(known) > 1 and _are_whole(known) else checked_metrics(known)
    except ValueError:
        return ()


def _are_whole(metrics: Sequence[MetricConfig]) -> bool:
    names = {metric.name for metric in metrics}
    return all(part is None or part in names for metric in metrics for part in (metric.numerator, metric.denominator))


def slots_of(phases: Sequence[PhaseMetrics]) -> tuple[Slot, ...]:
    """The columns that the metrics ask the log for, each once."""
    found = {slot for phase in phases for metric in phase.metrics if (slot := slot_of(metric)) is not None}
    return tuple(sorted(found, key=lambda slot: (slot.column, slot.cap or 0.0)))


def slot_of(metric: MetricConfig) -> Slot | None:
    """The column of the log that a metric is made of; None: it is made of events or of other metrics."""
    if metric.column is None:
        return None
    # A cap of a user's total cannot be put on the requests: it is put on the sum.
    return Slot(metric.column, metric.cap if metric.kind is MetricKind.REQUEST_MEAN else None)


def metric_rows(phases: Sequence[PhaseMetrics], slots: Sequence[Slot]) -> list[dict[str, Any]]:
    """A row for every phase and metric, for the temporary table `metric_list`."""
    return [_row(phase, metric, slots) for phase in phases for metric in phase.metrics]


def _row(phase: PhaseMetrics, metric: MetricConfig, slots: Sequence[Slot]) -> dict[str, Any]:
    by_name = {each.name: each for each in phase.metrics}
    is_ratio = metric.kind is MetricKind.RATIO
    above = by_name[metric.numerator] if is_ratio and metric.numerator else metric
    below = by_name[metric.denominator] if is_ratio and metric.denominator else None
    slot = slot_of(metric)
    return {
        "phase_id": phase.phase_id,
        "experiment_id": phase.experiment_id,
        "started_at": phase.started_at,
        "ended_at": phase.ended_at or "infinity",
        "metric": metric.name,
        "kind": metric.kind.value,
        "event": metric.event,
        "log_column": metric.column,
        "slot": slots.index(slot) if slot in slots else None,
        "above": above.name,
        "above_kind": above.kind.value,
        "above_cap": above.cap,
        "below": below.name if below else None,
        "below_kind": below.kind.value if below else None,
        "below_cap": below.cap if below else None,
        "covariate_days": metric.covariate_days if metric.covariate is not None else None,
    }
