"""Group-sequential looks: for an experiment that states how many requests it was planned for.

The boundary is the continuous one: it holds for hourly looks as for daily ones, also where some are missed or late
rows move them, needs no other look, and is the same however an hour is evaluated. The plan's end is its size, not a
date: the share of its requests that are there is the information, and depends on traffic only. The last look is the
last one within the plan: at most an hour's requests before its end. Beyond it no error is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import GroupSequentialSpending
from promotion_pipeline.evaluation.layout import Bools, Floats, Thresholds
from promotion_pipeline.statistics import Spending, continuous_boundary, normal_equivalent

SPENDING: dict[GroupSequentialSpending, Spending] = {
    GroupSequentialSpending.OBRIEN_FLEMING: "obrien_fleming",
    GroupSequentialSpending.ALPHA_T_SQUARED: "power",
}


@dataclass(frozen=True)
class PlannedLooks:
    """Arrays (treatments, units, hours); NaN where no plan is stated."""

    information_fraction: Floats
    """Requests of the two arms so far as a share of the planned ones, at most 1."""
    z: Floats
    """Of the log ratio of the means, as the always-valid interval has it: user-level where users are known; positive
    where the treatment is better. Where few users say how large the variance is, the z that is as surprising."""
    boundary_z: Floats
    """Critical z, one-sided; NaN also past the plan, when no error is left to spend."""


def planned_looks(
    z: Floats, inverse_freedom: Floats | None, requests: Floats, limits: Thresholds, alpha: Floats
) -> PlannedLooks:
    """The looks of the units that state a plan; O(cells of these).

    Where users come back, information grows slower than requests late in a plan: the boundary is then on the safe side.

    Args:
        z: of the lift as at one look, positive where the treatment has more, (treatments, units, hours).
        inverse_freedom: 1 / degrees of freedom of the variance in it; None: as good as known.
        requests: of the two arms, (treatments, units, hours).
        limits: of the units, each (units,).
        alpha: two-sided level of one comparison, (units, 1).
    """
    planned, shape = limits.planned_sample_size, requests.shape
    stated: Bools = ~np.isnan(planned)
    if not stated.any():
        nothing = np.broadcast_to(np.nan, shape)
        return PlannedLooks(nothing, nothing, nothing)
    fraction, own_z, boundary = (np.full(shape, np.nan) for _ in range(3))
    share = requests[:, stated] / planned[stated][:, None]
    lead = z[:, stated]
    if inverse_freedom is not None:
        lead = normal_equivalent(lead, inverse_freedom[:, stated])
    fraction[:, stated] = np.minimum(share, 1.0)
    own_z[:, stated] = limits.sign[stated][:, None] * lead
    for position, kind in enumerate(GroupSequentialSpending):
        units = stated & (limits.spending == position)
        if units.any():
            clock = requests[:, units] / planned[units][:, None]
            boundary[:, units] = continuous_boundary(clock, alpha[units] / 2.0, spending=SPENDING[kind])
    return PlannedLooks(fraction, own_z, boundary)
