"""Hourly sums of the stated metrics to dense cumulative arrays (slots, lanes, hours), like those of the rollups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.evaluation.hours import HOUR_US, refuse_fractions
from promotion_pipeline.evaluation.lanes import Lanes, metric_names
from promotion_pipeline.evaluation.layout import Floats, Ints, Layout
from promotion_pipeline.evaluation.sums import column_of, in_order, located, searched
from promotion_pipeline.evaluation.tables import HourlySums

METRIC_SUMS = (
    "new_users",
    "requests",
    "value_sum",
    "value_sum_squares",
    "user_value_sum_squares",
    "denominator_sum",
    "user_denominator_sum_squares",
    "user_value_denominator_sum_products",
    "covariate_sum",
    "covariate_sum_squares",
    "user_value_covariate_sum_products",
)
SAMPLES, UNMATCHED = "samples", "unmatched"
"""Either column says that nothing matches a metric: no event or value ever, or a row that only says so."""
UNREADABLE = "unreadable"
"""A row that only says that the metric's events cannot be read."""


@dataclass(frozen=True)
class MetricRows:
    """Rows that belong to a lane, by lane and hour: sums of floats are then the same in every last bit."""

    sums: Mapping[str, NDArray[Any]]
    """Of all rows."""
    row: Ints
    """Which of all rows each is."""
    lane: NDArray[np.int32]
    slot: NDArray[np.int32]
    column: NDArray[np.int32]
    """The requested hour that first sees it."""

    def within(self, lanes: slice) -> MetricRows:
        """Those of consecutive lanes, counted from the first of these."""
        # Bounds of the same type: else the whole array is converted to theirs first.
        bounds = np.array([lanes.start, lanes.stop], dtype=self.lane.dtype)
        rows = slice(*(int(at) for at in np.searchsorted(self.lane, bounds)))
        lane = self.lane[rows] - np.int32(lanes.start)
        return MetricRows(self.sums, self.row[rows], lane, self.slot[rows], self.column[rows])

    def cumulative(self, names: Iterable[str], lanes: Ints, shape: tuple[int, int, int]) -> dict[str, Floats]:
        """Cumulative sums of some lanes, arrays (slots, len(lanes), hours); a column that is missing is NaN.

        Args:
            shape: slots, lanes and hours of all that `lane` counts.
        """
        slots, all_lanes, hours = shape
        place = np.full(all_lanes, -1)
        place[lanes] = np.arange(len(lanes))
        here = slice(None) if len(lanes) == all_lanes else np.flatnonzero(place[self.lane] >= 0)
        cell = (self.slot[here].astype(np.int64) * len(lanes) + place[self.lane[here]]) * hours + self.column[here]
        size, row = slots * len(lanes) * hours, self.row[here]
        # A row that only says that nothing matches need not have sums.
        silent = self.sums[UNMATCHED][row] > 0 if UNMATCHED in self.sums else None
        sums = {}
        for name in names:
            if name not in self.sums:
                sums[name] = np.broadcast_to(np.nan, (slots, len(lanes), hours))
                continue
            part = self.sums[name][row]
            part = part if silent is None else np.where(silent & np.isnan(part), 0.0, part)
            # bincount of nothing is integer, whatever its weights.
            dense = np.bincount(cell, weights=part, minlength=size).astype(np.float64, copy=False)
            dense = dense.reshape(slots, len(lanes), hours)
            sums[name] = np.cumsum(dense, axis=2, out=dense)
        return sums


def index_metrics(metrics: HourlySums | None, layout: Layout, lanes: Lanes, hours_us: Ints) -> MetricRows:
    """Find lane, slot and column of every row of the sums of metrics; O(rows log rows).

    Rows of a metric that the experiment does not state, of before the phase, or not matured yet, are left out.

    Raises:
        InputError: an hour is not the start of an hour.
    """
    nothing = np.empty(0, dtype=np.int32)
    if metrics is None or metrics.metric is None:
        no_sums = dict.fromkeys(METRIC_SUMS, np.empty(0))
        return MetricRows(no_sums, nothing.astype(np.int64), nothing, nothing, nothing)
    refuse_fractions(metrics.hour_us, "hour")
    unit, slot, source = located(metrics, layout)
    row = np.arange(len(metrics)) if source is None else source
    hour = metrics.hour_us[row]
    known = np.array(metric_names(layout), dtype=object)
    own = lanes.unit * len(known) + lanes.name
    name = metrics.metric.places_in(known)[row]
    lane = searched(own, np.where((unit < 0) | (slot < 0) | (name < 0), -1, unit * len(known) + name))
    wait_us = (np.ceil(layout.thresholds.attribution_window_hours) * HOUR_US).astype(np.int64)[unit]
    column = column_of(hours_us, hour + wait_us)
    keep = (lane >= 0) & (hour + HOUR_US > layout.started_us[unit]) & (column < len(hours_us))
    kept = in_order(np.flatnonzero(keep), lane, hour)
    parts = (values[kept].astype(np.int32) for values in (lane, slot, column))
    return MetricRows(metrics.sums, row[kept], *parts)
