"""What an evaluation of a window writes: up to three tables, a block of experiments at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

import pandas as pd

from promotion_pipeline.config import Mode
from promotion_pipeline.decisions.blocks import ExperimentBlock, Notes, fingerprint_of
from promotion_pipeline.decisions.environment import Environment, keep_environment
from promotion_pipeline.decisions.frames import WriteResult, replace_metrics, replace_significance, write_decisions
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.evaluation import Evaluation
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.store.database import Connection, Store


class Table(StrEnum):
    """What an evaluation writes."""

    METRICS = "variant_metrics"
    """Cumulative counts and rates of every variant."""
    SIGNIFICANCE = "significance_results"
    """Every treatment against control; with it `metric_results`, the metrics that experiments state."""
    DECISIONS = "eligibility_decisions"
    """The verdict of every experiment."""


@dataclass(frozen=True)
class WindowPlan:
    """How a window is judged, and what of it is written as what."""

    start: datetime
    end: datetime
    layers: tuple[Environment, ...]
    """The environment's thresholds, and the hours that each is in force for."""
    wanted: frozenset[Table]
    """What was asked for."""
    kept: frozenset[Table]
    """What of that is left as it is."""
    label: str
    """Of what is stored beside the record."""
    is_what_if: bool
    """None of its decisions becomes the record."""
    decided_only: bool
    made_by: MadeBy
    notes: Notes | None
    """Which blocks are written; None where there is one only."""

    @property
    def hours(self) -> pd.DatetimeIndex:
        """Starts of the hours that are judged."""
        return pd.date_range(self.start, self.end, freq="h", inclusive="left", tz="UTC")

    @property
    def tables(self) -> frozenset[Table]:
        """What is written."""
        return self.wanted - self.kept


@dataclass(frozen=True)
class WrittenRows:
    """Rows of a block that were written."""

    metrics: int = 0
    significance: int = 0
    metric_results: int = 0
    recorded: int = 0
    relabelled: int = 0


def write_evaluation(store: Store, plan: WindowPlan, block: ExperimentBlock, found: Evaluation) -> WrittenRows:
    """Write what was found of a block, unless just that was written before the evaluation was cut off."""
    fingerprint = ""
    if plan.notes is not None:
        fingerprint = fingerprint_of([found.metrics, found.significance, found.metric_results, found.decisions])
        if plan.notes.is_written(block, fingerprint):
            return WrittenRows()
    metrics = significance = metric_results = 0
    if Table.METRICS in plan.tables:
        metrics = replace_metrics(store, found.metrics, plan.start, plan.end, block.ids)
    if Table.SIGNIFICANCE in plan.tables:
        significance, metric_results = replace_significance(
            store, found.significance, found.metric_results, plan.start, plan.end, block.ids
        )
    if Table.DECISIONS not in plan.tables:
        return WrittenRows(metrics, significance, metric_results)
    decisions = write_decisions(
        store,
        found.decisions,
        plan.label,
        may_record=not plan.is_what_if,
        decided_only=plan.decided_only,
        made_by=plan.made_by,
        record=record_label(store.settings),
        within=partial(_note, store, plan, block, fingerprint),
    )
    return WrittenRows(metrics, significance, metric_results, decisions.recorded, decisions.relabelled)


def _note(
    store: Store,
    plan: WindowPlan,
    block: ExperimentBlock,
    fingerprint: str,
    connection: Connection,
    written: WriteResult,
) -> None:
    """In the transaction of the decisions: with which thresholds they were made, and that the block is written."""
    if written.recorded and store.settings.mode is not Mode.SHADOW:
        for layer in plan.layers:
            keep_environment(connection, layer)
    if plan.notes is not None:
        plan.notes.note(connection, block, fingerprint)
