"""What was found, as columns: a row a variant, a treatment, an experiment, a metric, at every hour.

Not here: how the columns become frames (`frames.py`) or plain rows (`records.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
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
from promotion_pipeline.evaluation.tables import MISSING_US, ExperimentRows, Words

Raw = dict[str, Any]

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
class Times:
    """A column of instants."""

    us: Ints
    """Microseconds of UTC; `MISSING_US` where there is none."""


Column: TypeAlias = Words | Times | NDArray[Any]
Columns: TypeAlias = Mapping[str, Column]


@dataclass(frozen=True)
class FoundColumns:
    """The columns of the frames of `Evaluation`, by the same names."""

    metrics: Columns
    significance: Columns
    decisions: Columns
    metric_results: Columns


@dataclass(frozen=True)
class BlockColumns:
    """The columns of one block's rows, before they have ids and times."""

    hours_us: Ints
    metrics: Raw
    significance: Raw
    decisions: Raw


def columns_of(block: Block, arms: Arms, compared: Comparisons, decided: Decisions) -> BlockColumns:
    """The rows of a block, so that its arrays can be let go. O(cells)."""
    shown = _governing(block.layout, block.hours_us)
    return BlockColumns(
        hours_us=block.hours_us,
        metrics=_metric_columns(block, arms, shown),
        significance=_significance_columns(block, compared.treatments, shown),
        decisions=_decision_columns(block, arms, compared.treatments, decided, shown),
    )


def found_of(layout: Layout, parts: Sequence[BlockColumns], stated: StatedMetrics | None) -> FoundColumns:
    """The blocks, at least one, end to end, and what was found of stated metrics. O(rows)."""
    hours_us = parts[0].hours_us
    results = no_metric_results()
    if stated is not None:
        results = metric_result_columns(stated, _governing(layout, hours_us))
    names = metric_names(layout)
    return FoundColumns(
        metrics=_told(layout.rows, hours_us, _joined([part.metrics for part in parts])),
        significance=_told(layout.rows, hours_us, _joined([part.significance for part in parts])),
        decisions=_told(layout.rows, hours_us, _joined([part.decisions for part in parts])),
        metric_results=_told(layout.rows, hours_us, results | {"metric": _coded(results["metric"], names)}),
    )


def _governing(layout: Layout, hours_us: Ints) -> Bools:
    """Which (unit, hour) has a row: the unit is its experiment's current phase at the as-of."""
    as_of = hours_us + HOUR_US
    return np.asarray((as_of > layout.governs_from_us[:, None]) & (as_of <= layout.governs_until_us[:, None]))


def _cells(block: Block, shown: Bools, first_slot: int) -> tuple[Bools, Raw]:
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
    by_variant = values.transpose(1, 2, 0)
    # A block in which every cell has a row, the usual one, needs a transposed copy and no look at the mask.
    return by_variant.reshape(-1) if mask.all() else np.asarray(by_variant[mask])


def _metric_columns(block: Block, own: Arms, shown: Bools) -> Raw:
    mask, columns = _cells(block, shown, 0)
    for name in ("requests", "conversions", "errors", "users"):
        columns[name] = _by_row(getattr(own, name), mask)
    columns["conversion_rate"] = _by_row(own.rate, mask)
    for name in ("error_rate", "mean_latency_ms", "mean_value"):
        columns[name] = _by_row(getattr(own, name), mask)
    return columns


def _significance_columns(block: Block, tests: TreatmentTests, shown: Bools) -> Raw:
    mask, columns = _cells(block, shown, 1)
    control = block.layout.row[0]
    columns["control"] = np.broadcast_to(control[:, None, None], mask.shape)[mask].astype(np.int32)
    for name, values in vars(tests).items():
        columns[name] = _by_row(values, mask)
    return columns


def _decision_columns(block: Block, own: Arms, tests: TreatmentTests, decided: Decisions, shown: Bools) -> Raw:
    layout = block.layout
    units, hour = np.nonzero(shown)
    candidate = decided.candidate
    own_rows = layout.row[1 + np.maximum(candidate[shown], 0), units]
    columns: Raw = {
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


def _joined(parts: list[Raw]) -> Raw:
    """The blocks' columns end to end."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _told(rows: ExperimentRows, hours_us: Ints, columns: Raw) -> dict[str, Column]:
    """Give rows their ids and times."""
    row, hour = columns["row"], hours_us[columns["hour"]]
    told: dict[str, Column] = {
        "hour": Times(hour),
        "as_of": Times(hour + HOUR_US),
        "experiment_id": _named(rows.experiment_id, row),
        "phase_id": _named(rows.phase_id, row),
    }
    if "verdict" not in columns:
        told["variant_id"] = _named(rows.variant_id, row)
        told["variant_name"] = _named(rows.variant_name, row)
    if "requests" in columns:
        told["is_control"] = rows.is_control[row]
        told["traffic_percentage"] = rows.traffic_percentage[row]
    for name, values in columns.items():
        if name not in ("row", "hour"):
            told |= _told_column(rows, name, values)
    return told


def _told_column(rows: ExperimentRows, name: str, values: Any) -> dict[str, Column]:
    """One raw column as it is told."""
    match name:
        case "verdict":
            return {name: _coded(values, [v.value for v in VERDICTS])}
        case "candidate" | "control":
            return {
                f"{name}_variant_id": _named(rows.variant_id, values),
                f"{name}_variant_name": _named(rows.variant_name, values),
            }
        case "by_user":
            units = [AnalysisUnit.REQUEST.value, AnalysisUnit.USER.value]
            return {"analysis_unit": _coded(values.astype(np.int8), units)}
        case "reasons":
            return {name: tuples_of(CODE_BITS, values)}
        case "warnings":
            return {name: tuples_of(WARNING_BITS, values)}
        case "measured_since":
            return {name: Times(np.where(values == FAR_FUTURE_US, MISSING_US, values))}
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


def _named(column: Words | None, row: NDArray[Any]) -> Words:
    """The experiments' word at each row, missing where the row is -1, or there is no such column."""
    if column is None:
        return _coded(np.full(len(row), -1, dtype=np.int8), [])
    # Small codes: a month of hours repeats them 720 times.
    of_row = np.append(column.codes, -1).astype(np.int8 if len(column.words) < 127 else np.int32)
    return Words(of_row[row], column.words)


def _coded(codes: NDArray[Any], words: Sequence[Any]) -> Words:
    known = np.empty(len(words), dtype=object)
    known[:] = words
    return Words(codes, known)
