"""Group-sequential looks: for an experiment that states how many requests it was planned for.

The boundary is the continuous one: it holds for hourly looks as for daily ones, needs no other look, and is the same
however an hour is evaluated. The plan's end is its size, not a date: the share of its requests that are there is the
information, and depends on traffic only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import GroupSequentialSpending
from promotion_pipeline.evaluation.layout import Bools, Floats, Thresholds
from promotion_pipeline.evaluation.metrics import MetricEstimate
from promotion_pipeline.statistics import Spending, combined_inverse_freedom, continuous_boundary, normal_equivalent

OVERRUN = 1.1
"""The allowed error is spent over 1.1 times the planned requests. Spent at exactly the planned size, nothing would be
left for the look that first sees the plan fulfilled, since hourly looks never meet the size exactly."""
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
    """(m1 - m0) / sqrt(v0 + v1), user-level where users are known; positive where the treatment is better. Where few
    users say how large v0 and v1 are, the z that is as surprising."""
    boundary_z: Floats
    """Critical z, one-sided; NaN also past the plan, when no error is left to spend."""


def planned_looks(primary: MetricEstimate, requests: Floats, limits: Thresholds, alpha: Floats) -> PlannedLooks:
    """The looks of the units that state a plan; O(cells of these).

    Where users come back, information grows slower than requests late in a plan: the boundary is then on the safe side.

    Args:
        requests: of the two arms, (treatments, units, hours).
        limits: of the units, each (units,).
        alpha: two-sided level of one comparison, (units, 1).
    """
    planned, shape = limits.planned_sample_size, requests.shape
    stated: Bools = ~np.isnan(planned)
    if not stated.any():
        nothing = np.broadcast_to(np.nan, shape)
        return PlannedLooks(nothing, nothing, nothing)
    fraction, z, boundary = (np.full(shape, np.nan) for _ in range(3))
    mean, variance = primary.mean[:, stated], primary.variance[:, stated]
    share = requests[:, stated] / planned[stated][:, None]
    with np.errstate(all="ignore"):
        total = variance[:1] + variance[1:]
        lead = (mean[1:] - mean[:1]) / np.sqrt(np.where(total > 0, total, np.nan))
    freedom = primary.inverse_freedom[:, stated]
    if freedom.any():
        lead = normal_equivalent(lead, combined_inverse_freedom(variance[:1], freedom[:1], variance[1:], freedom[1:]))
    fraction[:, stated] = np.minimum(share, 1.0)
    z[:, stated] = limits.sign[stated][:, None] * lead
    for position, kind in enumerate(GroupSequentialSpending):
        units = stated & (limits.spending == position)
        if units.any():
            clock = requests[:, units] / (OVERRUN * planned[units])[:, None]
            boundary[:, units] = continuous_boundary(clock, alpha[units] / 2.0, spending=SPENDING[kind])
    return PlannedLooks(fraction, z, boundary)
