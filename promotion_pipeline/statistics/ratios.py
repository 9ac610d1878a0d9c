"""A ratio of two sums over users (conversions per request, say), with the variance that its users give it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, positive, quiet


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """num_sum / den_sum and the variance of that ratio; NaN where not computable."""

    ratio: FloatArray
    variance_of_ratio: FloatArray


@quiet
def ratio_of_sums(
    n: ArrayLike,
    num_sum: ArrayLike,
    num_sum_squares: ArrayLike,
    den_sum: ArrayLike,
    den_sum_squares: ArrayLike,
    num_den_sum_products: ArrayLike,
) -> Ratio:
    """Ratio R = Y / D of user totals y, d over `n` users, and its variance by the delta method.

    var(R) = (s_yy - 2 R s_yd + R^2 s_dd) / (n mean(d)^2), covariances with divisor n - 1 (Deng, Knoblich & Lu 2018,
    "Applying the Delta Method in Metric Analytics", KDD). Since y - R d sums to 0, this is
    n / (n - 1) (sum y^2 - 2 R sum yd + R^2 sum d^2) / D^2. All arguments broadcast; sums are over users.

    NaN ratio where D is 0; NaN variance also where n <= 1. A variance that rounding pushed below 0 is 0.
    """
    users, y, yy, d, dd, yd = floats(n, num_sum, num_sum_squares, den_sum, den_sum_squares, num_den_sum_products)
    ratio = finite(y / d)
    residuals = np.maximum(yy - ratio * (2.0 * yd - ratio * dd), 0.0)
    return Ratio(ratio, np.asarray(users / positive(users - 1.0) * residuals / (d * d)))
