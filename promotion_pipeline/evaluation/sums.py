"""Rows of hourly sums to dense cumulative arrays (slots, units, hours).

Only the requested hours get a column: each rollup is added to the first requested hour that may see it, so a
decision about one hour of a year-long experiment costs one column, and a backfill one column an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.clusters import POWER_SUM
from promotion_pipeline.evaluation.hours import FAR_FUTURE_US, HOUR_US, refuse_fractions
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints, Layout, Thresholds
from promotion_pipeline.evaluation.tables import HourlySums

REQUIRED_SUMS = ("requests", "conversions", "errors")
OPTIONAL_SUMS = (
    "latency_samples",
    "latency_ms_sum",
    "latency_ms_sum_squares",
    "value_sum",
    "value_sum_squares",
    "new_users",
    "user_requests",
    "user_conversions",
    "user_conversions_sum_squares",
    "user_requests_sum_squares",
    "user_conversions_requests_sum_products",
    "user_value_sum_squares",
    "user_value_requests_sum_products",
    "crossed_users",
    "crossed_requests",
    POWER_SUM,
)
CELLS_PER_BLOCK = 250_000
"""Cells of one block: keeps a block's temporaries near the processor's cache and flat in the number of experiments."""
FIRST_TRAFFIC_HOURS = 48
MOST_IN_A_TABLE = 10_000_000


@dataclass(frozen=True)
class Block:
    """Cumulative sums of consecutive units, each array (slots, units, hours); counts as float64, exact to 2^53."""

    layout: Layout
    """Of these units alone."""
    units: slice
    """Where these units are among all."""
    limits: Thresholds
    """Of these units alone, each (units, 1)."""
    hours_us: Ints
    """Starts of the hours to decide on."""
    sums: dict[str, Floats]
    first_traffic: Floats
    first_hour_us: Ints
    """Start of the first hour in which a variant has requests, shape (slots, units); far in the future without one."""
    unknown_since_us: Ints
    """Start of the first hour with rows of a variant that the unit does not list, (units,); else as above."""
    shrunk: Bools
    """Whether a count of the unit ever fell up to that hour, shape (units, hours)."""


def cumulate(rollups: HourlySums, layout: Layout, hours_us: Ints) -> Iterator[Block]:
    """Cumulative sums at every hour, a block of units at a time, an empty one if there are none; O(rows + cells).

    Rows of experiments that the layout does not list, or of before the phase, are left out.

    Args:
        hours_us: distinct hours to decide on, in their order.

    Raises:
        InputError: an hour is not the start of an hour.
    """
    slots, units = layout.row.shape
    if not units:
        rollups = rollups.at(slice(0))
    refuse_fractions(rollups.hour_us, "hour")
    rows = _index_rows(rollups, layout, hours_us)
    del rollups
    step = max(1, CELLS_PER_BLOCK // max(1, slots * len(hours_us)))
    for start in range(0, max(units, 1), step):
        yield _block(rows, slice(start, min(start + step, units)), layout, hours_us)


@dataclass(frozen=True)
class _Rows:
    """Rollup rows that belong to a unit, sorted by unit and hour: sums of floats are then the same in every last bit.

    `column` is the requested hour that first sees the row.
    """

    unit: NDArray[np.int32]
    slot: NDArray[np.int32]
    column: NDArray[np.int32]
    in_first_traffic: Bools
    sums: dict[str, NDArray[np.float64 | np.int64]]
    first_hour_us: Ints
    """As `Block.first_hour_us`, of all units: requests that no requested hour may judge yet have been there all the
    same, whatever other hours are asked for."""
    unknown_since_us: Ints
    """As `Block.unknown_since_us`, of all units."""


def _index_rows(rollups: HourlySums, layout: Layout, hours_us: Ints) -> _Rows:
    """Find unit, slot and column of every row. O(rows)."""
    unit, slot, source = located(rollups, layout)
    hour = rollups.hour_us if source is None else rollups.hour_us[source]
    known = (unit >= 0) & (slot >= 0)
    started = layout.started_us[unit]
    wait_us = (np.ceil(layout.thresholds.attribution_window_hours) * HOUR_US).astype(np.int64)[unit]
    column = column_of(hours_us, hour + wait_us)
    begun = known & (hour + HOUR_US > started)
    keep = begun & (column < len(hours_us))
    within = keep & (hour + HOUR_US <= started + FIRST_TRAFFIC_HOURS * HOUR_US)
    kept = in_order(np.flatnonzero(keep), unit, hour)
    requests = rollups.sums["requests"]
    requests = requests if source is None else requests[source]
    return _Rows(
        unit=unit[kept].astype(np.int32),
        slot=slot[kept].astype(np.int32),
        column=column[kept].astype(np.int32),
        in_first_traffic=within[kept],
        sums=_of_rows(rollups, kept if source is None else source[kept]),
        first_hour_us=_first_hours(np.flatnonzero(begun & (requests > 0)), unit, slot, hour, layout.row.shape),
        unknown_since_us=_unknown_since(np.flatnonzero((unit >= 0) & (slot < 0)), unit, hour, len(layout.started_us)),
    )


def column_of(hours_us: Ints, seen_us: Ints) -> Ints:
    """The first requested hour not before each time, as `searchsorted` finds it; hours without gaps need no search."""
    if not len(hours_us) or hours_us[-1] - hours_us[0] != (len(hours_us) - 1) * HOUR_US:
        return np.asarray(np.searchsorted(hours_us, seen_us))
    return np.asarray(np.clip(-((hours_us[0] - seen_us) // HOUR_US), 0, len(hours_us)))


def in_order(kept: Ints, unit: Ints, hour: Ints) -> Ints:
    """The rows by unit, then hour. Rows mostly come by the hour, where sorting by unit alone is enough and faster."""
    if (np.diff(unit[kept]) < 0).any():
        kept = kept[np.argsort(unit[kept], kind="stable")]
    backwards = (np.diff(hour[kept]) < 0) & (np.diff(unit[kept]) == 0)
    return kept[np.lexsort((hour[kept], unit[kept]))] if backwards.any() else kept


def _block(rows: _Rows, units: slice, layout: Layout, hours_us: Ints) -> Block:
    # Bounds of the same type: else the whole array is converted to theirs first.
    window = slice(*np.searchsorted(rows.unit, np.array([units.start, units.stop], dtype=rows.unit.dtype)))
    own = layout.of(units)
    hour_count = len(hours_us)
    shape = (*own.row.shape, hour_count)
    unit = rows.unit[window].astype(np.int64) - units.start
    slot = rows.slot[window].astype(np.int64)
    cell = (slot * shape[1] + unit) * hour_count + rows.column[window]
    size = shape[0] * shape[1] * hour_count
    sums: dict[str, Floats] = {}
    fell = np.zeros(shape[1:], dtype=bool)
    for name, values in rows.sums.items():
        part = values[window]
        if name in REQUIRED_SUMS and (part < 0).any():
            fell |= np.bincount(cell, weights=part < 0, minlength=size).reshape(shape).any(axis=0)
        # bincount of nothing is integer, whatever its weights.
        dense = np.bincount(cell, weights=part, minlength=size).astype(np.float64, copy=False).reshape(shape)
        sums[name] = np.cumsum(dense, axis=2, out=dense)
    first = np.bincount(
        slot * shape[1] + unit,
        weights=np.where(rows.in_first_traffic[window], rows.sums["requests"][window], 0.0),
        minlength=shape[0] * shape[1],
    ).reshape(shape[:2])
    return Block(
        layout=own,
        units=units,
        limits=own.thresholds.by_hour(),
        hours_us=hours_us,
        sums=sums,
        first_traffic=first,
        first_hour_us=rows.first_hour_us[:, units],
        unknown_since_us=rows.unknown_since_us[units],
        shrunk=np.logical_or.accumulate(fell, axis=1),
    )


def _first_hours(served: Ints, unit: Ints, slot: Ints, hour: Ints, shape: tuple[int, ...]) -> Ints:
    """The first hour of each arm among its rows that have requests, (slots, units)."""
    first = np.full(shape, FAR_FUTURE_US)
    np.minimum.at(first, (slot[served], unit[served]), hour[served])
    return first


def _unknown_since(rows: Ints, unit: Ints, hour: Ints, units: int) -> Ints:
    """The first hour of these rows by unit, (units,)."""
    first = np.full(units, FAR_FUTURE_US)
    np.minimum.at(first, unit[rows], hour[rows])
    return first


def _of_rows(rollups: HourlySums, kept: Ints) -> dict[str, NDArray[np.float64 | np.int64]]:
    names = [*REQUIRED_SUMS, *(name for name in OPTIONAL_SUMS if name in rollups.sums)]
    return {name: rollups.sums[name][kept] for name in names}


def located(rollups: HourlySums, layout: Layout) -> tuple[Ints, Ints, Ints | None]:
    """Unit of each row (-1: not listed) and its slot (-1: the unit has no such variant).

    A row of a phase whose set-up changed belongs to several units: it is repeated, and the third array says which row
    it was. None: no row is repeated.
    """
    listed = layout.rows
    first = np.where(layout.row[0] >= 0, layout.row[0], layout.row[1])
    keys = [(listed.experiment_id, rollups.experiment_id)]
    if _has_phases(rollups, layout) and listed.phase_id is not None and rollups.phase_id is not None:
        keys.append((listed.phase_id, rollups.phase_id))
    unit_keys, row_keys = np.zeros(layout.row.shape[1], dtype=np.int64), np.zeros(len(rollups), dtype=np.int64)
    for of_units, of_rows in keys:
        count = len(of_units.words) + 1
        unit_keys = unit_keys * count + of_units.codes[first]
        codes = of_rows.places_in(of_units.words)
        row_keys = np.where((codes < 0) | (row_keys < 0), -1, row_keys * count + codes)
    unit, source = _units_of(unit_keys, row_keys)
    variants = len(listed.variant_id.words)
    slot, units = np.nonzero(layout.exists)
    own = units * variants + listed.variant_id.codes[layout.row[slot, units]]
    code = rollups.variant_id.places_in(listed.variant_id.words)
    code = code if source is None else code[source]
    found = searched(own, np.where((unit < 0) | (code < 0), -1, unit * variants + code))
    return unit, np.where(found < 0, -1, slot[found] if len(slot) else -1), source


def _units_of(unit_keys: Ints, row_keys: Ints) -> tuple[Ints, Ints | None]:
    """The unit of each row; where several units have the row's key, the row once for each, and which row it was."""
    order = np.argsort(unit_keys, kind="stable")
    distinct, first, count = np.unique(unit_keys[order], return_index=True, return_counts=True)
    if len(distinct) == len(unit_keys):
        return searched(unit_keys, row_keys), None
    key = searched(distinct, row_keys)
    times = np.where(key < 0, 1, count[key])
    source = np.repeat(np.arange(len(row_keys)), times)
    number = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
    known = key[source] >= 0
    unit = np.full(len(source), -1, dtype=np.int64)
    unit[known] = order[first[key[source[known]]] + number[known]]
    return unit, source


def _has_phases(rollups: HourlySums, layout: Layout) -> bool:
    sides = [ids is not None and bool((ids.codes >= 0).any()) for ids in (rollups.phase_id, layout.rows.phase_id)]
    if len(rollups) and len(layout.rows) and sides[0] != sides[1]:
        have, lack = ("rollups", "experiments") if sides[0] else ("experiments", "rollups")
        raise InputError(f"{have} have phase_id but {lack} do not; give it to both, so that phases are not pooled")
    return all(sides)


def searched(keys: Ints, wanted: Ints) -> Ints:
    """Position of each wanted key among `keys` (distinct), -1 where absent."""
    if not len(keys):
        return np.full(len(wanted), -1)
    most = int(keys.max())
    if most <= MOST_IN_A_TABLE:
        # Keys are numbers made of positions: mostly small, and a look into a table is faster than a search.
        at = np.full(most + 2, -1)
        at[keys[keys >= 0]] = np.flatnonzero(keys >= 0)
        return at[np.where((wanted >= 0) & (wanted <= most), wanted, most + 1)]
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order][at] == wanted, order[at], -1)
