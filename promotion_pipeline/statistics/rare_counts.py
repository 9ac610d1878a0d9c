"""Is an event more frequent than it was? A test that a handful of events does not fool."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, ndtri

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet
from promotion_pipeline.statistics.proportions import two_proportion_z


@quiet
def more_often_z(events: ArrayLike, n: ArrayLike, later_events: ArrayLike, later_n: ArrayLike) -> FloatArray:
    """How surely the later rate is higher: the smaller of the pooled z and that of the exact test of the counts.

    The exact one: given all events, those of the later sample are binomial with its share of the requests (exact for
    rare events, and on the safe side for others). All arguments broadcast; NaN as `two_proportion_z`.
    """
    events, n, later_events, later_n = floats(events, n, later_events, later_n)
    exact = np.where(later_events > 0, betainc(later_events, events + 1.0, later_n / (n + later_n)), 1.0)
    return np.minimum(two_proportion_z(events, n, later_events, later_n).z, -ndtri(exact))
