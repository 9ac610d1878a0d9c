"""The metrics that experiments state, as lanes: one lane a (unit, metric), in the order of units and of each list.

Whatever is computed of metrics has arrays (slots, lanes, hours), so that experiments with many and with few metrics,
and of different kinds, are worked on together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.config import Direction, MetricKind, MetricRole
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints, Layout

KINDS = tuple(MetricKind)
ROLES = tuple(MetricRole)
DIRECTIONS = tuple(Direction)


@dataclass(frozen=True)
class Lanes:
    """What each lane is, arrays (lanes,)."""

    unit: Ints
    """Position of its unit."""
    number: Ints
    """Place in the unit's list of metrics."""
    name: NDArray[np.int32]
    """Position in `metric_names`."""
    kind: NDArray[np.int8]
    """Position in `KINDS`."""
    role: NDArray[np.int8]
    """Position in `ROLES`."""
    direction: NDArray[np.int8]
    """Position in `DIRECTIONS`."""
    margin: Floats
    """Of a guardrail, a fraction of control's mean; NaN without one."""
    with_covariate: Bools

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def sign(self) -> Floats:
        """1 where more is better, -1 where less is."""
        return np.where(self.direction == DIRECTIONS.index(Direction.INCREASE), 1.0, -1.0)

    def has_role(self, role: MetricRole) -> Bools:
        """Which lanes have a role."""
        return np.asarray(self.role == ROLES.index(role))

    def at(self, index: slice | Ints | Bools) -> Lanes:
        """Some of the lanes."""
        return Lanes(**{name: values[index] for name, values in vars(self).items()})

    def of_units(self, units: slice) -> tuple[slice, Lanes]:
        """The lanes of consecutive units, counted from the first of these; and where they lie among all."""
        where = slice(*(int(at) for at in np.searchsorted(self.unit, [units.start, units.stop])))
        own = self.at(where)
        return where, Lanes(**(vars(own) | {"unit": own.unit - units.start}))

    def by_number(self) -> Iterator[tuple[int, Ints]]:
        """For each place in a list: the lanes at that place, at most one a unit."""
        for number in range(int(self.number.max(initial=-1)) + 1):
            yield number, np.flatnonzero(self.number == number)


def metric_names(layout: Layout) -> list[str]:
    """The names of all metrics that experiments state, sorted."""
    return sorted({one.name for own in layout.metrics for one in own})


def lanes_of(layout: Layout) -> Lanes:
    """The lanes of all units; O(metrics)."""
    stated = [(unit, number, one) for unit, own in enumerate(layout.metrics) for number, one in enumerate(own)]
    known = {name: position for position, name in enumerate(metric_names(layout))}
    return Lanes(
        unit=np.array([unit for unit, _, _ in stated], dtype=np.int64),
        number=np.array([number for _, number, _ in stated], dtype=np.int64),
        name=np.array([known[one.name] for _, _, one in stated], dtype=np.int32),
        kind=np.array([KINDS.index(one.kind) for _, _, one in stated], dtype=np.int8),
        role=np.array([ROLES.index(one.role) for _, _, one in stated], dtype=np.int8),
        direction=np.array([DIRECTIONS.index(one.direction) for _, _, one in stated], dtype=np.int8),
        margin=np.array(
            [np.nan if one.margin_percent is None else one.margin_percent / 100.0 for _, _, one in stated],
            dtype=np.float64,
        ),
        with_covariate=np.array([one.covariate is not None for _, _, one in stated], dtype=bool),
    )
