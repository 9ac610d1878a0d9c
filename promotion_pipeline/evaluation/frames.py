"""What was found as frames: a row a variant, a treatment, an experiment, at every hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.codes import WARNING_BITS, AnalysisUnit, Verdict, tuples_of
from promotion_pipeline.evaluation.compare import Comparisons, TreatmentTests
from promotion_pipeline.evaluation.contract import CODE_BITS, CONTRACT
from promotion_pipeline.evaluation.decide import VERDICTS, Decisions, pick
from promotion_pipeline.evaluation.goals import names_of
from promotion_pipeline.evaluation.hours import FAR_FUTURE_US, HOUR_US
from promotion_pipeline.evaluation.lanes import metric_names
from promotion_pipeline.evaluation.layout import Bools, Ints, Layout
from promotion_pipeline.evaluation.metric_results import (
    CODED,
    StatedMetrics,
    metric_result_columns,
    no_metric_results,
)
from promotion_pipeline.evaluation.sums import Block

Columns = dict[str, Any]

CANDIDATE_TESTS = (
    "z",
    "p_value",
    "always_valid_p_value",
    "shrunken_lift",
    "information_fraction",
    "group_sequential_z",
    "group_sequential_boundary_z",
)
"""Of the comparisons, what a decision says of its candidate."""


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


@dataclass(frozen=True)
class FrameColumns:
    """The columns of one block's rows, before they have ids and times."""

    hours_us: Ints
    metrics: Columns
    significance: Columns
    decisions: Columns


def columns_of(block: Block, arms: Arms, compared: Comparisons, decided: Decisions) -> FrameColumns:
    """The rows of a block, so that its arrays can be let go. O(cells)."""
    shown = _governing(block.layout, block.hours_us)
    return FrameColumns(
        hours_us=block.hours_us,
        metrics=_metric_columns(block, arms, shown),
        significance=_significance_columns(block, compared.treatments, shown),
        decisions=_decision_columns(block, arms, compared.treatments, decided, shown),
    )


def frames_of(layout: Layout, parts: Sequence[FrameColumns], stated: StatedMetrics | None) -> Evaluation:
    """The blocks, at least one, end to end, and what was found of stated metrics. O(rows)."""
    hours_us = parts[0].hours_us
    results = no_metric_results()
    if stated is not None:
        results = metric_result_columns(stated, _governing(layout, hours_us))
    return Evaluation(
        metrics=_frame(layout.frame, hours_us, _joined([part.metrics for part in parts])),
        significance=_frame(layout.frame, hours_us, _joined([part.significance for part in parts])),
        decisions=_frame(layout.frame, hours_us, _joined([part.decisions for part in parts])),
        metric_results=_frame(layout.frame, hours_us, _with_names(results, metric_names(layout))),
    )


def _with_names(columns: Columns, names: list[str]) -> Columns:
    return columns | {"metric": _coded(columns["metric"], names)}


def _governing(layout: Layout, hours_us: Ints) -> Bools:
    """Which (unit, hour) has a row: the unit is its experiment's current phase at the as-of."""
    as_of = hours_us + HOUR_US
    return np.asarray((as_of > layout.governs_from_us[:, None]) & (as_of <= layout.governs_until_us[:, None]))


def _cells(block: Block, shown: Bools, first_slot: int) -> tuple[Bools, Columns]:
    """Mask (units, hours, slots from `first_slot`) of the rows to give out, and their keys."""
    row = block.layout.row[first_slot:].T
    mask = shown[:, :, None] & (row >= 0)[:, None, :]
    shape = mask.shape
    return mask, {
        "row": np.broadcast_to(row[:, None, :], shape)[mask].astype(np.int32),
        "hour": np.broadcast_to(np.arange(shape[1], dtype=np.int32)[None, :, None], shape)[mask],
    }


def _by_row(values: NDArray[Any], mask: Bools) -> NDArray[Any]:
    """An array (slots, units, hours) as the column of the masked rows."""
    by_variant = np.moveaxis(values, 0, -1)
    # A block in which every cell has a row, the usual one, needs a transposed copy and no look at the mask.
    return by_variant.reshape(-1) if mask.all() else np.asarray(by_variant[mask])


def _metric_columns(block: Block, own: Arms, shown: Bools) -> Columns:
    mask, columns = _cells(block, shown, 0)
    for name in ("requests", "conversions", "errors", "users"):
        columns[name] = _by_row(getattr(own, name), mask)
    columns["conversion_rate"] = _by_row(own.rate, mask)
    for name in ("error_rate", "mean_latency_ms", "mean_value"):
        columns[name] = _by_row(getattr(own, name), mask)
    return columns


def _significance_columns(block: Block, tests: TreatmentTests, shown: Bools) -> Columns:
    mask, columns = _cells(block, shown, 1)
    control = block.layout.row[0]
    columns["control"] = np.broadcast_to(control[:, None, None], mask.shape)[mask].astype(np.int32)
    for name, values in vars(tests).items():
        columns[name] = _by_row(values, mask)
    return columns


def _decision_columns(block: Block, own: Arms, tests: TreatmentTests, decided: Decisions, shown: Bools) -> Columns:
    layout = block.layout
    units, hour = np.nonzero(shown)
    candidate = decided.candidate
    own_rows = layout.row[1 + np.maximum(candidate[shown], 0), units]
    columns: Columns = {
        "row": np.where(layout.row[0, units] >= 0, layout.row[0, units], layout.row[1, units]),
        "hour": hour.astype(np.int32),
        "verdict": decided.verdict[shown],
        "is_eligible": decided.verdict[shown] == VERDICTS.index(Verdict.ELIGIBLE),
        "is_promotable": decided.is_promotable[shown],
        "candidate": np.where(candidate[shown] >= 0, own_rows, -1),
        "control": layout.row[0, units],
    }
    columns |= {check.observed: decided.observed[check.observed][shown] for check in CONTRACT}
    for name in CANDIDATE_TESTS:
        columns[name] = pick(getattr(tests, name), candidate, np.nan)[shown]
    columns["lift_lower"] = pick(tests.always_valid_lower, candidate, np.nan)[shown]
    columns["lift_upper"] = pick(tests.always_valid_upper, candidate, np.nan)[shown]
    columns["measured_since"] = decided.measured_since_us[shown]
    columns["conversion_rate"] = pick(own.rate[1:], candidate, np.nan)[shown]
    columns["control_conversion_rate"] = own.rate[0][shown]
    columns["srm_p_value"] = decided.srm_p_value[shown]
    columns["sequential_srm_p_value"] = decided.sequential_srm_p_value[shown]
    columns["multiple_exposure"] = decided.exposure[shown]
    columns["multiple_exposure_requests"] = decided.exposed_requests[shown]
    columns["largest_user_share"] = decided.largest_user_share[shown]
    columns["group_sequential_crossed"] = decided.crossed[shown]
    columns["by_user"] = decided.by_user[shown]
    columns |= {check.name: decided.checks[check.name][shown] for check in CONTRACT}
    columns |= {check.threshold_column: layout.thresholds.contract[check.threshold][units] for check in CONTRACT}
    columns["planned_sample_size"] = layout.thresholds.planned_sample_size[units]
    columns["lift_prior_sd"] = layout.thresholds.lift_prior_sd[units]
    for name in ("guardrails_not_kept", "guardrails_not_measured"):
        columns[name] = names_of(layout.metrics, units, getattr(decided, name)[shown])
    columns["reasons"] = decided.reasons[shown]
    columns["warnings"] = decided.warnings[shown]
    return columns


def _joined(parts: list[Columns]) -> Columns:
    """The blocks' columns end to end."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _frame(experiments: pd.DataFrame, hours_us: Ints, columns: Columns) -> pd.DataFrame:
    """Give rows their ids and times. Ids and names are categorical: a month of hours repeats them 720 times."""
    row, hour = columns.pop("row"), hours_us[columns.pop("hour")]
    frame: Columns = {
        "hour": pd.DatetimeIndex(hour.view("M8[us]"), tz="UTC"),
        "as_of": pd.DatetimeIndex((hour + HOUR_US).view("M8[us]"), tz="UTC"),
        "experiment_id": _named(experiments, "experiment_id", row),
        "phase_id": _named(experiments, "phase_id", row),
    }
    if "verdict" not in columns:
        frame["variant_id"] = _named(experiments, "variant_id", row)
        frame["variant_name"] = _named(experiments, "variant_name", row)
    if "requests" in columns:
        frame["is_control"] = experiments["is_control"].fillna(False).to_numpy(dtype=bool)[row]
        frame["traffic_percentage"] = experiments["traffic_percentage"].astype(float).to_numpy()[row]
    for name, values in columns.items():
        frame |= _named_column(experiments, name, values)
    return pd.DataFrame(frame, copy=False)


def _named_column(experiments: pd.DataFrame, name: str, values: NDArray[Any]) -> Columns:
    """One raw column as it stands in the frame."""
    match name:
        case "verdict":
            return {name: _coded(values, [v.value for v in VERDICTS])}
        case "candidate":
            return {
                "candidate_variant_id": _named(experiments, "variant_id", values),
                "candidate_variant_name": _named(experiments, "variant_name", values),
            }
        case "control":
            return {
                "control_variant_id": _named(experiments, "variant_id", values),
                "control_variant_name": _named(experiments, "variant_name", values),
            }
        case "by_user":
            units = [AnalysisUnit.REQUEST.value, AnalysisUnit.USER.value]
            return {"analysis_unit": _coded(values.astype(np.int8), units)}
        case "reasons":
            return {name: tuples_of(CODE_BITS, values)}
        case "warnings":
            return {name: tuples_of(WARNING_BITS, values)}
        case "measured_since":
            since = np.where(values == FAR_FUTURE_US, np.iinfo(np.int64).min, values).view("M8[us]")
            return {name: pd.DatetimeIndex(since, tz="UTC")}
        case "group_sequential_crossed":
            crossed = np.full(len(values), None, dtype=object)
            crossed[values == 1], crossed[values == 0] = True, False
            return {name: crossed}
        case _ if name in CODED:
            return {name: _coded(values, CODED[name])}
        case "sample_size":
            return {name: values.astype(np.int64)}
        case "requests" | "conversions" | "errors" | "users":
            whole = np.isfinite(values).all()
            return {name: values.astype(np.int64) if whole else values}
        case _:
            return {name: values}


def _named(experiments: pd.DataFrame, column: str, row: NDArray[Any]) -> pd.Categorical[Any]:
    """The experiments frame's value at each row, missing where the row is -1."""
    if column not in experiments.columns:
        return _coded(np.full(len(row), -1, dtype=np.int8), [])
    codes, names = pd.factorize(experiments[column].astype(object))
    of_row = np.append(codes, -1).astype(np.int8 if len(names) < 127 else np.int32)
    return _coded(of_row[row], list(names))


def _coded(codes: NDArray[Any], categories: list[Any]) -> pd.Categorical[Any]:
    return pd.Categorical.from_codes(codes, pd.Index(categories, dtype=object))
