"""The evaluation of stored sums, each hour under the environment's thresholds that were in force for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from promotion_pipeline.decisions.environment import Environment
from promotion_pipeline.evaluation import Evaluation, Verdict, evaluate
from promotion_pipeline.store.windows import HOUR


def judged(
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    layers: Sequence[Environment],
    metrics: pd.DataFrame | None = None,
) -> Evaluation:
    """The evaluations of the layers' hours as one; `metrics` are the sums of the metrics that experiments state."""
    parts = [_under(layer, rollups, experiments, metrics) for layer in layers]
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in dataclasses.fields(Evaluation)]
    return Evaluation(*(pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in names))


def settled_before(start: datetime, experiments: pd.DataFrame, layers: Sequence[Environment]) -> datetime:
    """Hours before it are in every decision from `start` on: with an attribution window that lies as far back."""
    windows = [layer.config.attribution_window_hours or 0.0 for layer in layers]
    if "attribution_window_hours" in experiments.columns:
        windows.extend(experiments["attribution_window_hours"].dropna().astype(float))
    return start - HOUR * math.ceil(max(windows))


def outcome_counts(decisions: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """How many experiments had which outcome, a row an hour."""
    at = decisions["hour"]
    counts = pd.DataFrame(
        {
            "experiments": at.value_counts(),
            "promotable": at[decisions["is_promotable"]].value_counts(),
            "waiting": at[decisions["is_eligible"] & ~decisions["is_promotable"]].value_counts(),
        }
        | {verdict.value: at[decisions["verdict"] == verdict].value_counts() for verdict in Verdict},
        index=hours,
    )
    return counts.fillna(0).astype("int64")


def states_metrics(experiments: pd.DataFrame) -> bool:
    """Whether an experiment of the frame states metrics beside its primary one: else nothing is asked for them."""
    return "metrics" in experiments.columns and bool(experiments["metrics"].notna().any())


def _under(
    layer: Environment, rollups: pd.DataFrame, experiments: pd.DataFrame, metrics: pd.DataFrame | None
) -> Evaluation:
    """The evaluation of the hours that an environment is in force for."""
    # Without gaps: the sums of what lies between two hours would be added in another order.
    span = pd.date_range(layer.hours[0], layer.hours[-1], freq="h")
    found = evaluate(rollups, experiments, hours=span, config=layer.config, metrics=metrics)
    if len(span) == len(layer.hours):
        return found
    parts = (getattr(found, field.name) for field in dataclasses.fields(Evaluation))
    return Evaluation(*(part[part["hour"].isin(layer.hours)] for part in parts))
