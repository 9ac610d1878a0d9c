"""The experiments frame as dense arrays: one unit a phase, one slot a variant, control in slot 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.config import (
    CONTRACT_THRESHOLDS,
    Direction,
    Evidence,
    GroupSequentialSpending,
    Guardrail,
    MetricConfig,
    PrimaryMetric,
    PromotionConfig,
    parse_metrics,
)
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.codes import Reason, bit
from promotion_pipeline.evaluation.hours import FAR_FUTURE_US, utc_us

REQUIRED = ("experiment_id", "name", "variant_id", "variant_name", "is_control", "traffic_percentage", "started_at")
GOVERNS_FROM, GOVERNS_UNTIL = "governs_from", "governs_until"
SPLIT_TOLERANCE_PERCENT = 0.05

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of each unit, shape (units,); percent and hours as in `PromotionConfig`."""

    contract: dict[str, Floats]
    """Of the contract checks, by field of `PromotionConfig`."""
    planned_sample_size: Floats
    spending: Ints
    """Position in `GroupSequentialSpending`."""
    lift_prior_sd: Floats
    """A fraction."""
    attribution_window_hours: Floats
    fixed_horizon: Bools
    group_sequential: Bools
    """Which evidence is asked for; neither: always-valid."""
    whole_weeks: Bools
    min_conversions: Floats
    metric: Ints
    """Position in `PrimaryMetric`."""
    sign: Floats
    """1 where more of the metric is better, -1 where less is."""
    guards_errors: Bools
    guards_latency: Bools

    @property
    def min_confidence_level(self) -> Floats:
        """Also the level of every interval and guardrail."""
        return self.contract["min_confidence_level"]

    def by_hour(self) -> Thresholds:
        """The same with an axis for the hours, each (units, 1)."""
        return self.at((slice(None), None))

    def at(self, index: Any) -> Thresholds:
        """Each array at an index, without a copy."""
        others = {name: values[index] for name, values in vars(self).items() if name != "contract"}
        return Thresholds(**others, contract={name: values[index] for name, values in self.contract.items()})


@dataclass(frozen=True)
class Layout:
    """Where every (unit, slot) lies in the experiments frame, and what is wrong with a unit.

    Arrays are (units,) or (slots, units); times are microseconds of UTC. `row` is the row of the sorted
    frame that describes a slot, -1 where the unit has no such variant.
    """

    frame: pd.DataFrame
    row: Ints
    experiment: Ints
    started_us: Ints
    governs_from_us: Ints
    governs_until_us: Ints
    traffic_percent: Floats
    treatments: Ints
    problems: NDArray[np.int32]
    metrics: NDArray[Any]
    """Of each unit the metrics that its experiment states, a tuple of `MetricConfig`."""
    allows_corrections: Bools
    thresholds: Thresholds

    @property
    def exists(self) -> Bools:
        """Which slots hold a variant, shape (slots, units)."""
        return self.row >= 0

    def of(self, units: slice) -> Layout:
        """What it says of some units, without a copy; `row` goes on counting in the whole frame."""
        parts = {name: values[..., units] for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return Layout(frame=self.frame, thresholds=self.thresholds.at(units), **parts)


def build_layout(experiments: pd.DataFrame, config: PromotionConfig) -> Layout:
    """Sort the experiments frame into units and slots; O(variants log variants).

    Raises:
        InputError: a column is missing, a time is naive, or a variant is listed twice.
    """
    missing = [name for name in REQUIRED if name not in experiments.columns]
    if missing:
        raise InputError(f"experiments lack the columns {missing}; needed are {list(REQUIRED)}")
    frame = experiments.reset_index(drop=True)
    started = utc_us(frame["started_at"], "started_at")
    phase = _keys(frame["phase_id"]) if "phase_id" in frame.columns else np.zeros(len(frame), dtype=np.int64)
    experiment = _keys(frame["experiment_id"])
    segment = utc_us(frame[GOVERNS_FROM], GOVERNS_FROM) if GOVERNS_FROM in frame.columns else np.zeros_like(phase)
    started = pd.Series(started).groupby([experiment, phase, segment]).transform("min").to_numpy(dtype=np.int64)
    control = frame["is_control"].fillna(False).to_numpy(dtype=bool)
    name_rank = frame["variant_name"].astype(object).map(str).rank(method="dense").to_numpy()
    order = np.lexsort((name_rank, ~control, phase, started, segment, experiment))
    frame, started, phase = frame.iloc[order].reset_index(drop=True), started[order], phase[order]
    experiment, control, segment = experiment[order], control[order], segment[order]
    new_unit = np.ones(len(frame), dtype=bool)
    new_unit[1:] = (np.diff(experiment) != 0) | (np.diff(phase) != 0) | (np.diff(segment) != 0)
    unit = np.cumsum(new_unit) - 1
    first = np.flatnonzero(new_unit)
    keys = ("experiment_id", "phase_id", GOVERNS_FROM, "variant_id")
    if frame.duplicated([name for name in keys if name in frame.columns]).any():
        raise InputError("experiments list a variant twice in one phase; give one row a (experiment, phase, variant)")
    row = _slots(unit, first, control)
    from_us, until_us = _governed(frame, experiment[first], started[first], first)
    traffic = pd.to_numeric(frame["traffic_percentage"], errors="coerce").to_numpy(dtype=np.float64)
    traffic_percent = np.where(row >= 0, traffic[np.maximum(row, 0)], 0.0) if len(frame) else np.zeros(row.shape)
    metrics, unreadable = _metrics(frame, first, config)
    problems = _problems(frame, unit, first, control, row, traffic_percent)
    problems[unreadable] |= bit(Reason.INVALID_CONFIG)
    return Layout(
        frame=frame,
        row=row,
        experiment=experiment[first],
        started_us=started[first],
        governs_from_us=from_us,
        governs_until_us=until_us,
        traffic_percent=traffic_percent,
        treatments=(row[1:] >= 0).sum(axis=0),
        problems=problems,
        metrics=metrics,
        allows_corrections=_column(frame, "allows_corrections", first, False).astype(bool),
        thresholds=_thresholds(frame, first, config),
    )


def _keys(values: pd.Series) -> Ints:
    """Numbers of the distinct values in order of appearance, missing ones alike."""
    return np.asarray(pd.factorize(values.astype(object), use_na_sentinel=False)[0], dtype=np.int64)


def _slots(unit: Ints, first: Ints, control: Bools) -> Ints:
    """Rows by (slot, unit): control first, then treatments by name; a unit without control leaves slot 0 empty."""
    rank = np.arange(len(unit)) - first[unit] if len(unit) else np.empty(0, dtype=np.int64)
    slot = rank + ~control[first][unit] if len(unit) else rank
    row = np.full((max(2, int(slot.max(initial=0)) + 1), len(first)), -1, dtype=np.int64)
    row[slot, unit] = np.arange(len(unit))
    return row


def _governed(frame: pd.DataFrame, experiment: Ints, started: Ints, first: Ints) -> tuple[Ints, Ints]:
    """As-of bounds (from, until] in which each unit is its experiment's current phase, under its current set-up."""
    if GOVERNS_FROM in frame.columns:
        until = frame[GOVERNS_UNTIL].iloc[first]
        until_us = np.where(until.isna(), FAR_FUTURE_US, utc_us(until, GOVERNS_UNTIL))
        return utc_us(frame[GOVERNS_FROM].iloc[first], GOVERNS_FROM), until_us
    from_us = started.copy()
    is_first = np.ones(len(first), dtype=bool)
    is_first[1:] = experiment[1:] != experiment[:-1]
    from_us[is_first] = np.iinfo(np.int64).min
    until_us = np.full(len(first), FAR_FUTURE_US)
    until_us[:-1][~is_first[1:]] = started[1:][~is_first[1:]]
    if "ended_at" in frame.columns:
        ended = utc_us(frame["ended_at"], "ended_at")[first]
        ended[frame["ended_at"].isna().to_numpy()[first]] = FAR_FUTURE_US
        until_us = np.minimum(until_us, ended)
    return from_us, until_us


def _problems(
    frame: pd.DataFrame, unit: Ints, first: Ints, control: Bools, row: Ints, traffic_percent: Floats
) -> NDArray[np.int32]:
    """Reasons why a unit cannot be judged at any hour, as bits."""
    problems = np.zeros(len(first), dtype=np.int32)
    controls = np.bincount(unit, weights=control, minlength=len(first)) if len(first) else np.zeros(0)
    problems[controls == 0] |= bit(Reason.NO_CONTROL)
    problems[controls > 1] |= bit(Reason.SEVERAL_CONTROLS)
    problems[(row[1:] >= 0).sum(axis=0) == 0] |= bit(Reason.NO_TREATMENT)
    # Slot after slot, so that the sum does not depend on how many units there are.
    off = ~(np.abs(sum(traffic_percent, np.zeros(len(first))) - 100.0) <= SPLIT_TOLERANCE_PERCENT)
    problems[off | (traffic_percent < 0).any(axis=0)] |= bit(Reason.SPLIT_NOT_100)
    problems[frame["started_at"].isna().to_numpy()[first]] |= bit(Reason.NOT_A_NUMBER)
    if "config_error" in frame.columns:
        problems[frame["config_error"].notna().to_numpy()[first]] |= bit(Reason.INVALID_CONFIG)
    return problems


def _column(frame: pd.DataFrame, name: str, first: Ints, default: Any) -> NDArray[Any]:
    """A per-experiment column read at each unit's first row, the default where it is missing."""
    given = frame[name].iloc[first] if name in frame.columns else [None] * len(first)
    column = np.empty(len(first), dtype=object)
    column[:] = [default if value is None or value is pd.NA or value != value else value for value in given]
    return column


def _metrics(frame: pd.DataFrame, first: Ints, config: PromotionConfig) -> tuple[NDArray[Any], Bools]:
    """The metrics that each unit states, and whether they cannot be read; a list that units share is read once."""
    lists = _column(frame, "metrics", first, config.metrics)
    parsed: dict[int, tuple[MetricConfig, ...] | None] = {}
    for value in lists:
        if id(value) not in parsed:
            try:
                parsed[id(value)] = parse_metrics(value)
            except ValueError:
                parsed[id(value)] = None
    metrics = np.empty(len(lists), dtype=object)
    metrics[:] = [parsed[id(value)] or () for value in lists]
    return metrics, np.array([parsed[id(value)] is None for value in lists], dtype=bool)


def _thresholds(frame: pd.DataFrame, first: Ints, config: PromotionConfig) -> Thresholds:
    def number(name: str) -> Floats:
        default = getattr(config, name)
        return _column(frame, name, first, np.nan if default is None else default).astype(np.float64)

    evidence = _column(frame, "evidence", first, config.evidence)
    metric = _column(frame, "primary_metric", first, config.primary_metric)
    direction = _column(frame, "direction", first, config.direction)
    spending = _column(frame, "group_sequential_spending", first, config.group_sequential_spending)
    guardrails = _column(frame, "guardrails", first, tuple(config.guardrails))
    return Thresholds(
        contract={name: number(name) for name in CONTRACT_THRESHOLDS},
        planned_sample_size=number("planned_sample_size"),
        spending=np.array(
            [list(GroupSequentialSpending).index(GroupSequentialSpending(value)) for value in spending], dtype=np.int64
        ),
        lift_prior_sd=number("lift_prior_sd_percent") / 100.0,
        attribution_window_hours=number("attribution_window_hours"),
        fixed_horizon=np.array([value == Evidence.FIXED_HORIZON for value in evidence], dtype=bool),
        group_sequential=np.array([value == Evidence.GROUP_SEQUENTIAL for value in evidence], dtype=bool),
        whole_weeks=_column(frame, "whole_weeks", first, config.whole_weeks).astype(bool),
        min_conversions=number("min_conversions"),
        metric=np.array([list(PrimaryMetric).index(PrimaryMetric(value)) for value in metric], dtype=np.int64),
        sign=np.array([1.0 if value == Direction.INCREASE else -1.0 for value in direction]),
        guards_errors=np.array([Guardrail.ERROR_RATE in value for value in guardrails], dtype=bool),
        guards_latency=np.array([Guardrail.LATENCY in value for value in guardrails], dtype=bool),
    )
