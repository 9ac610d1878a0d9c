"""What was found as frames, for those who work on many rows: the border of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from promotion_pipeline.evaluation.found import Column, Columns, FoundColumns, Times
from promotion_pipeline.evaluation.tables import Words


@dataclass(frozen=True)
class Evaluation:
    """What one call of `evaluate` found; rates and lifts are fractions, confidence and improvement percent."""

    metrics: pd.DataFrame
    """A row per (hour, experiment_id, variant_id): cumulative counts and rates since the phase's start."""
    significance: pd.DataFrame
    """A row per (hour, experiment_id, treatment variant_id). `lift_lower/upper` are the fixed-horizon interval,
    `always_valid_lower/upper` the one that holds at every look."""
    decisions: pd.DataFrame
    """A row per (hour, experiment_id). `lift_lower/upper` are always-valid; reasons and warnings tuples of codes."""
    metric_results: pd.DataFrame
    """A row per (hour, experiment_id, treatment variant_id, metric) of the metrics that experiments state:
    `difference`, `lift` and their intervals are treatment against control as measured, whatever the direction that is
    better; `lift` a fraction of control's mean. `always_valid_p_value` and its interval hold at every look."""


def frames_of(found: FoundColumns) -> Evaluation:
    """The same as frames. O(rows)."""
    return Evaluation(
        metrics=frame_of(found.metrics),
        significance=frame_of(found.significance),
        decisions=frame_of(found.decisions),
        metric_results=frame_of(found.metric_results),
    )


def frame_of(columns: Columns) -> pd.DataFrame:
    """One of the frames. Ids and names are categorical: a month of hours repeats them 720 times."""
    indexes: dict[int, pd.Index] = {}
    return pd.DataFrame({name: _series(column, indexes) for name, column in columns.items()}, copy=False)


def _series(column: Column, indexes: dict[int, pd.Index]) -> Any:
    match column:
        case Words():
            # Columns share their words: the index of them is made once.
            words = indexes.setdefault(id(column.words), pd.Index(column.words, dtype=object))
            return pd.Categorical.from_codes(column.codes, words)
        case Times():
            return pd.DatetimeIndex(column.us.view("M8[us]"), tz="UTC")
        case _:
            return column
