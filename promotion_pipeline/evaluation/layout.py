"""The experiments as dense arrays: one unit a phase, one slot a variant, control in slot 0."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from promotion_pipeline.evaluation.hours import FAR_FUTURE_US
from promotion_pipeline.evaluation.tables import MISSING_US, ExperimentRows, Words, numbered
from promotion_pipeline.evaluation.tables import Bools as Bools
from promotion_pipeline.evaluation.tables import Floats as Floats
from promotion_pipeline.evaluation.tables import Ints as Ints

SPLIT_TOLERANCE_PERCENT = 0.05


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
    """Where every (unit, slot) lies among the experiments' rows, and what is wrong with a unit.

    Arrays are (units,) or (slots, units); times are microseconds of UTC. `row` is the one of the sorted rows that
    describes a slot, -1 where the unit has no such variant.
    """

    rows: ExperimentRows
    """By experiment, stretch, phase and slot; of `Words` those alone that occur, as they come."""
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

    @property
    def states_metrics(self) -> bool:
        """Whether any experiment states metrics beside its primary one."""
        return any(self.metrics)

    def of(self, units: slice) -> Layout:
        """What it says of some units, without a copy; `row` goes on counting among all rows."""
        parts = {name: values[..., units] for name, values in vars(self).items() if isinstance(values, np.ndarray)}
        return Layout(rows=self.rows, thresholds=self.thresholds.at(units), **parts)


def build_layout(experiments: ExperimentRows, config: PromotionConfig) -> Layout:
    """Sort the experiments into units and slots; O(variants log variants).

    Raises:
        InputError: a variant is listed twice.
    """
    experiment, phase = _keys(experiments.experiment_id), _keys(experiments.phase_id, len(experiments))
    segment = np.zeros_like(phase) if experiments.governs is None else experiments.governs[0]
    started = _first_of_each(experiments.started_us, (phase, segment, experiment))
    order = np.lexsort((_name_ranks(experiments), ~experiments.is_control, phase, started, segment, experiment))
    rows, started = _in_order(experiments.at(order)), started[order]
    new_unit = _differ(experiment[order], phase[order], segment[order])
    unit, first = np.cumsum(new_unit) - 1, np.flatnonzero(new_unit)
    variants = len(rows.variant_id.words) + 1
    if len(np.unique(unit * variants + rows.variant_id.codes)) < len(rows):
        raise InputError("experiments list a variant twice in one phase; give one row a (experiment, phase, variant)")
    row = _slots(unit, first, rows.is_control)
    of_unit = experiment[order][first]
    from_us, until_us = _governed(rows, of_unit, started[first], first)
    traffic_percent = np.zeros(row.shape)
    if len(rows):
        traffic_percent = np.where(row >= 0, rows.traffic_percentage[np.maximum(row, 0)], 0.0)
    metrics, unreadable = _metrics(rows, first, config)
    problems = _problems(rows, unit, first, row, traffic_percent)
    problems[unreadable] |= bit(Reason.INVALID_CONFIG)
    return Layout(
        rows=rows,
        row=row,
        experiment=of_unit,
        started_us=started[first],
        governs_from_us=from_us,
        governs_until_us=until_us,
        traffic_percent=traffic_percent,
        treatments=(row[1:] >= 0).sum(axis=0),
        problems=problems,
        metrics=metrics,
        allows_corrections=_column(rows, "allows_corrections", first, False).astype(bool),
        thresholds=_thresholds(rows, first, config),
    )


def _keys(values: Words | None, count: int = 0) -> Ints:
    """Numbers of the distinct values in order of appearance, missing ones alike; 0 for all of a missing column."""
    if values is None:
        return np.zeros(count, dtype=np.int64)
    return numbered(values.codes.tolist())[0]


def _differ(*keys: Ints) -> Bools:
    """Which rows begin a new group: they differ in a key from the row before."""
    new = np.ones(len(keys[0]), dtype=bool)
    new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return new


def _first_of_each(started_us: Ints, keys: tuple[Ints, ...]) -> Ints:
    """The earliest start of each row's unit."""
    order = np.lexsort(keys)
    new = _differ(*(key[order] for key in keys))
    earliest = np.empty_like(started_us)
    if len(order):
        earliest[order] = np.minimum.reduceat(started_us[order], np.flatnonzero(new))[np.cumsum(new) - 1]
    return earliest


def _name_ranks(experiments: ExperimentRows) -> Ints:
    """By the name of each row's variant; names that read alike rank alike."""
    names = np.array([str(word) for word in (*experiments.variant_name.words, np.nan)], dtype=object)
    return np.asarray(np.unique(names, return_inverse=True)[1][experiments.variant_name.codes], dtype=np.int64)


def _in_order(rows: ExperimentRows) -> ExperimentRows:
    return replace(
        rows,
        experiment_id=rows.experiment_id.in_order(),
        variant_id=rows.variant_id.in_order(),
        variant_name=rows.variant_name.in_order(),
        phase_id=None if rows.phase_id is None else rows.phase_id.in_order(),
    )


def _slots(unit: Ints, first: Ints, control: Bools) -> Ints:
    """Rows by (slot, unit): control first, then treatments by name; a unit without control leaves slot 0 empty."""
    rank = np.arange(len(unit)) - first[unit] if len(unit) else np.empty(0, dtype=np.int64)
    slot = rank + ~control[first][unit] if len(unit) else rank
    row = np.full((max(2, int(slot.max(initial=0)) + 1), len(first)), -1, dtype=np.int64)
    row[slot, unit] = np.arange(len(unit))
    return row


def _governed(rows: ExperimentRows, experiment: Ints, started: Ints, first: Ints) -> tuple[Ints, Ints]:
    """As-of bounds (from, until] in which each unit is its experiment's current phase, under its current set-up."""
    if rows.governs is not None:
        from_us, until_us = (bound[first] for bound in rows.governs)
        return from_us, np.where(until_us == MISSING_US, FAR_FUTURE_US, until_us)
    from_us = started.copy()
    is_first = _differ(experiment)
    from_us[is_first] = np.iinfo(np.int64).min
    until_us = np.full(len(first), FAR_FUTURE_US)
    until_us[:-1][~is_first[1:]] = started[1:][~is_first[1:]]
    if rows.ended_us is not None:
        ended = rows.ended_us[first]
        until_us = np.minimum(until_us, np.where(ended == MISSING_US, FAR_FUTURE_US, ended))
    return from_us, until_us


def _problems(rows: ExperimentRows, unit: Ints, first: Ints, row: Ints, traffic_percent: Floats) -> NDArray[np.int32]:
    """Reasons why a unit cannot be judged at any hour, as bits."""
    problems = np.zeros(len(first), dtype=np.int32)
    controls = np.bincount(unit, weights=rows.is_control, minlength=len(first)) if len(first) else np.zeros(0)
    problems[controls == 0] |= bit(Reason.NO_CONTROL)
    problems[controls > 1] |= bit(Reason.SEVERAL_CONTROLS)
    problems[(row[1:] >= 0).sum(axis=0) == 0] |= bit(Reason.NO_TREATMENT)
    # Slot after slot, so that the sum does not depend on how many units there are.
    off = ~(np.abs(sum(traffic_percent, np.zeros(len(first))) - 100.0) <= SPLIT_TOLERANCE_PERCENT)
    problems[off | (traffic_percent < 0).any(axis=0)] |= bit(Reason.SPLIT_NOT_100)
    problems[rows.started_us[first] == MISSING_US] |= bit(Reason.NOT_A_NUMBER)
    problems[_column(rows, "config_error", first, None) != None] |= bit(Reason.INVALID_CONFIG)  # noqa: E711 - by element
    return problems


def _column(rows: ExperimentRows, name: str, first: Ints, default: Any) -> NDArray[Any]:
    """What each unit has of its own, read at its first row; the default where that is missing."""
    column = np.empty(len(first), dtype=object)
    if name not in rows.settings:
        column[:] = [default] * len(first)
        return column
    given = rows.settings[name][first].tolist()
    column[:] = [default if value is None or value is pd.NA or value != value else value for value in given]
    return column


def _metrics(rows: ExperimentRows, first: Ints, config: PromotionConfig) -> tuple[NDArray[Any], Bools]:
    """The metrics that each unit states, and whether they cannot be read; a list that units share is read once."""
    lists = _column(rows, "metrics", first, config.metrics)
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


def _thresholds(rows: ExperimentRows, first: Ints, config: PromotionConfig) -> Thresholds:
    def number(name: str) -> Floats:
        default = getattr(config, name)
        return _column(rows, name, first, np.nan if default is None else default).astype(np.float64)

    evidence = _column(rows, "evidence", first, config.evidence)
    metric = _column(rows, "primary_metric", first, config.primary_metric)
    direction = _column(rows, "direction", first, config.direction)
    spending = _column(rows, "group_sequential_spending", first, config.group_sequential_spending)
    guardrails = _column(rows, "guardrails", first, tuple(config.guardrails))
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
        whole_weeks=_column(rows, "whole_weeks", first, config.whole_weeks).astype(bool),
        min_conversions=number("min_conversions"),
        metric=np.array([list(PrimaryMetric).index(PrimaryMetric(value)) for value in metric], dtype=np.int64),
        sign=np.array([1.0 if value == Direction.INCREASE else -1.0 for value in direction]),
        guards_errors=np.array([Guardrail.ERROR_RATE in value for value in guardrails], dtype=bool),
        guards_latency=np.array([Guardrail.LATENCY in value for value in guardrails], dtype=bool),
    )
