"""Is the traffic that arrived the traffic that was declared? Arrays (units, hours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.clusters import POWER_SUM
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.evaluation.sums import Block
from promotion_pipeline.statistics import sequential_srm_p_value, srm_chi_square

SRM_ALPHA = 0.001
"""A split less likely than this is broken, not unlucky."""


@dataclass(frozen=True)
class SplitTests:
    """Of users, or of requests where no user is known, against the declared split; NaN where nothing can be tested."""

    srm_p_value: Floats
    """Chi-square: for one look."""
    sequential_srm_p_value: Floats
    """The same question, answered so that it may be asked at every look."""


def split_tests(block: Block, own: Arms) -> SplitTests:
    """Both tests; O(cells)."""
    declared = block.layout.traffic_percent[:, :, None]
    arrived = _units_of_the_split(block, own)
    return SplitTests(
        srm_p_value=srm_chi_square(arrived, declared, axis=0).p_value,
        sequential_srm_p_value=sequential_srm_p_value(arrived, declared, axis=0),
    )


def _units_of_the_split(block: Block, own: Arms) -> Floats:
    """What is counted in each arm: users, and the requests of what only looks like one.

    A placeholder ('guest', 'unknown') is served by every variant, request by request; counted as one user an arm it
    would hide whatever happened to its requests. It is known by what it leaves: the largest user of each arm has more
    than 1 % of it, and these make most of the requests of users that several variants served.
    """
    sums, clusters, n = block.sums, own.clusters, own.requests
    if POWER_SUM not in sums or "crossed_requests" not in sums:
        return clusters.count
    crossed = sums["crossed_requests"].sum(axis=0)
    with np.errstate(invalid="ignore"):
        largest = np.round(clusters.largest_share * n)
        together = np.where(n > 0, largest, 0.0).sum(axis=0)
        # The largest are known from above only, by a few percent.
        is_placeholder = (clusters.large_user | (n == 0)).all(axis=0) & (2 * together >= crossed)
        is_placeholder &= (crossed > 0) & (0.95 * together <= crossed)
        return np.where(is_placeholder & (n > 0), clusters.count + largest - 1.0, clusters.count)
