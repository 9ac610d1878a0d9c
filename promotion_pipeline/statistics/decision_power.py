"""One decision out of several tests: what each test needs so that the decision has its power and its error.

A product ships if at least one of S goals is shown better and all of G guardrails are shown not to be too much worse
(Schultzberg, Ankargren & Franberg 2024, arXiv 2402.11609). The error of that decision needs alpha / S for a goal and no
share at all for a guardrail, since every guardrail must pass (an intersection-union test); its power needs
beta / (G + 1) for each test, since each of them can fail a good product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, between, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.normal import critical_z


def power_of_each_test(power: ArrayLike, guardrails: int) -> FloatArray:
    """1 - beta / (G + 1): with it for the goal and each of G guardrails, the decision has at least `power`.

    A union bound, so it holds however the metrics correlate.

    Raises:
        StatisticsError: power outside (0, 1), or a negative number of guardrails.
    """
    if guardrails < 0:
        raise StatisticsError(f"guardrails is {guardrails}, but must be 0 or more; count those with a margin.")
    return np.asarray(1.0 - (1.0 - between("power", power, 0.0, 1.0)) / (guardrails + 1))


@quiet
def sample_size_noninferiority(
    relative_variance0: ArrayLike,
    relative_variance1: ArrayLike,
    margin_relative: ArrayLike,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    *,
    share1: ArrayLike = 0.5,
) -> FloatArray:
    """Units of both arms together for the one-sided test that mean1 is less than `margin_relative` worse than mean0.

    ((z(1 - alpha) + z(power)) / margin)^2 (c0^2 v0 / share0 + v1 / share1), where the arms do not differ: v are
    variances of one unit over the squared mean, and c0 = 1 - margin is the factor of the control mean in the contrast
    of `noninferiority_means`. All arguments broadcast; not rounded.

    Args:
        share1: the treatment's share of the units of both arms.

    Raises:
        StatisticsError: power, alpha, the margin or the share outside (0, 1).

    NaN where a variance is not above 0.
    """
    margin, share = between("margin", margin_relative, 0.0, 1.0), between("share1", share1, 0.0, 1.0)
    v0, v1 = positive(relative_variance0), positive(relative_variance1)
    beta = 1.0 - between("power", power, 0.0, 1.0)
    reach = critical_z(alpha, sides=1) + critical_z(beta, sides=1)
    factor = 1.0 - margin
    (wanted,) = floats((reach / margin) ** 2 * (factor * factor * v0 / (1.0 - share) + v1 / share))
    return np.where(reach > 0, wanted, np.nan)
