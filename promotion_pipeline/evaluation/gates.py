"""What an experiment may ask for besides, before it is promoted without a person; said by warnings.

Not here: the evidence (`decide.py`), and whether anything is withheld (`unattended.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.codes import Warn, bit
from promotion_pipeline.evaluation.hours import HOUR_US
from promotion_pipeline.evaluation.layout import Bools, Ints
from promotion_pipeline.evaluation.sums import Block

WEEK_HOURS = 168
LATE_HOURS = 6
"""An as-of this long after a whole week still counts as one: the run at the very hour may have been missed."""


def gated(block: Block, own: Arms, candidate: Ints, eligible: Bools) -> NDArray[np.int32]:
    """The gates that are closed where all checks of the contract pass, as bits, (units, hours)."""
    limits = block.limits
    closed = np.zeros(eligible.shape, dtype=np.int32)
    if limits.whole_weeks.any():
        closed[eligible & limits.whole_weeks & ~_whole_weeks(block)] |= bit(Warn.PART_OF_A_WEEK)
    if (limits.min_conversions > 0).any():
        at = np.maximum(candidate, 0)[None]
        fewest = np.minimum(own.conversions[0], np.take_along_axis(own.conversions[1:], at, axis=0)[0])
        closed[eligible & ~(fewest >= limits.min_conversions)] |= bit(Warn.FEW_CONVERSIONS)
    return closed


def _whole_weeks(block: Block) -> Bools:
    """Whether the stretch that is judged began a whole number of weeks ago, (units, hours).

    It ends at the as-of, or the attribution window before; as-ofs are whole hours, and the phase may begin at any
    moment. So the first of them is at most an hour too long, and the last `LATE_HOURS` more.
    """
    wait_us = np.ceil(block.limits.attribution_window_hours).astype(np.int64) * HOUR_US
    judged_us = block.hours_us + HOUR_US - wait_us - block.layout.started_us[:, None]
    return np.asarray((judged_us >= WEEK_HOURS * HOUR_US) & (judged_us % (WEEK_HOURS * HOUR_US) < LATE_HOURS * HOUR_US))
