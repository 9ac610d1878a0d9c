"""Non-inferiority of a proportion: is the treatment, at worst, a tolerable margin worse?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from promotion_pipeline.statistics.arrays import floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.noninferiority import check_margin
from promotion_pipeline.statistics.proportions import ZTest, proportion, proportion_variance_of_mean
from promotion_pipeline.statistics.reference.differences import score_z


@quiet
def noninferiority_z(
    x0: ArrayLike,
    n0: ArrayLike,
    x1: ArrayLike,
    n1: ArrayLike,
    margin: ArrayLike,
    *,
    higher_is_better: bool = False,
    method: Literal["wald", "score"] = "wald",
) -> ZTest:
    """Test that p1 is worse than p0 by less than `margin` (absolute, >= 0). All arguments broadcast.

    For a rate where lower is better: z = (p1 - p0 - margin) / se, p-value Phi(z); a small p-value says that the
    treatment is not worse by the margin. Mirrored where higher is better. "wald" takes the unpooled standard error,
    "score" that of Farrington & Manning 1990 (Statistics in Medicine 9, 1447-1454) times N / (N - 1).

    NaN where a count is impossible or the standard error 0.
    """
    check_margin(margin)
    (limit,) = floats(margin)
    limit = -limit if higher_is_better else limit
    if method == "score":
        z = score_z(x0, n0, x1, n1, limit)
        z = np.where(np.isfinite(z), z, np.nan)
    elif method == "wald":
        variance = proportion_variance_of_mean(x0, n0) + proportion_variance_of_mean(x1, n1)
        z = np.asarray((proportion(x1, n1) - proportion(x0, n0) - limit) / np.sqrt(positive(variance)))
    else:
        raise StatisticsError(f"method is {method!r}, but must be 'wald' or 'score'; leave it out for 'wald'.")
    return ZTest(z, np.asarray(ndtr(-z if higher_is_better else z)))
