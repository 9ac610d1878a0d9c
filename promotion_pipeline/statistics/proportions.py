"""Two proportions compared by the normal test: pooled (the product's z) or unpooled (Wald)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, positive, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.normal import two_sided_p_value

ZMethod = Literal["pooled", "unpooled"]


@dataclass(frozen=True, slots=True, eq=False)
class ZTest:
    """z (positive where arm 1 is ahead) and its two-sided p-value; NaN where not computable."""

    z: FloatArray
    p_value: FloatArray


@quiet
def proportion(x: ArrayLike, n: ArrayLike) -> FloatArray:
    """x / n; NaN where n <= 0, x < 0 or x > n."""
    count, total = floats(x, n)
    return np.where((total > 0) & (count >= 0) & (count <= total), count / total, np.nan)


@quiet
def proportion_variance_of_mean(x: ArrayLike, n: ArrayLike) -> FloatArray:
    """p (1 - p) / n: the plug-in variance of a proportion, divisor n and not n - 1, as GrowthBook's.

    NaN where the proportion is not computable; 0 at a proportion of 0 or 1.
    """
    p = proportion(x, n)
    return np.asarray(p * (1.0 - p) / floats(n)[0])


@quiet
def two_proportion_z(
    x0: ArrayLike, n0: ArrayLike, x1: ArrayLike, n1: ArrayLike, *, method: ZMethod = "pooled"
) -> ZTest:
    """z-test of p1 = x1/n1 against p0 = x0/n0; two-sided. All arguments broadcast.

    pooled: (p1 - p0) / sqrt(p (1 - p) (1/n0 + 1/n1)), p = (x0 + x1) / (n0 + n1);
    unpooled: (p1 - p0) / sqrt(p0 (1 - p0) / n0 + p1 (1 - p1) / n1)
    (Fleiss, Levin & Paik 2003, Statistical Methods for Rates and Proportions).

    NaN where a count is impossible (n <= 0, x < 0, x > n) or the standard error is 0.

    Raises:
        StatisticsError: `method` is neither of the two.
    """
    if method not in ("pooled", "unpooled"):
        raise StatisticsError(f"method is {method!r}, but must be 'pooled' or 'unpooled'; leave it out for 'pooled'.")
    x0, n0, x1, n1 = floats(x0, n0, x1, n1)
    if method == "pooled":
        p = (x0 + x1) / (n0 + n1)
        variance = p * (1.0 - p) * (1.0 / n0 + 1.0 / n1)
    else:
        variance = proportion_variance_of_mean(x0, n0) + proportion_variance_of_mean(x1, n1)
    z = np.asarray((proportion(x1, n1) - proportion(x0, n0)) / np.sqrt(positive(variance)))
    return ZTest(z, two_sided_p_value(z))
