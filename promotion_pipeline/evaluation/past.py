"""An A/A check on what users did before: arms that differed already were not assigned at random.

Not here: the past as a covariate, which takes small differences out of a metric (`metric_tests.py`).
"""

from __future__ import annotations

import numpy as np

from promotion_pipeline.evaluation.lanes import Lanes
from promotion_pipeline.evaluation.layout import Bools
from promotion_pipeline.evaluation.metric_sums import MetricRows
from promotion_pipeline.statistics import mean_variance_of_mean, two_sided_p_value

PAST_ALPHA = 0.001
"""As of a sample ratio mismatch: what is withheld should be broken, not unlucky."""
PAST_SUMS = ("new_users", "covariate_sum", "covariate_sum_squares")


def past_differs(rows: MetricRows, lanes: Lanes, shape: tuple[int, int, int]) -> Bools:
    """Where a treatment's users were others than control's before their first exposure, (treatments, units, hours).

    Of each metric with a covariate: Welch's test of its mean a user, two-sided at `PAST_ALPHA` shared by the metrics.
    Without a past, or any spread in it, there is nothing to tell. O(cells of these lanes).

    Args:
        shape: slots, units and hours.
    """
    slots, units, hours = shape
    found = np.zeros((slots - 1, units, hours), dtype=bool)
    known = np.flatnonzero(lanes.with_covariate)
    if not len(known):
        return found
    sums = rows.cumulative(PAST_SUMS, known, (slots, len(lanes), hours))
    mean, variance = mean_variance_of_mean(*(sums[name] for name in PAST_SUMS))
    with np.errstate(all="ignore"):
        total = variance[:1] + variance[1:]
        z = (mean[1:] - mean[:1]) / np.sqrt(np.where(total > 0, total, np.nan))
        several = np.bincount(lanes.unit[known], minlength=units)[lanes.unit[known]]
        differs = two_sided_p_value(z) < PAST_ALPHA / several[:, None]
    np.logical_or.at(found, (slice(None), lanes.unit[known]), differs)
    return found
