"""Clusters of any size behind a ratio: what few or unequal users do to its standard error, and how to own up to it.

A ratio R = Y / D of user totals has the delta-method residuals r = y - R d. Where a user makes the share h of all
requests, R follows that user, and the residual forgets its deviation: E r^2 = v (1 - 2 h) + h^2 V, with v the
variance of the user's total and V the sum of all v. A user who is nearly the whole arm leaves nothing, and
the arm looks certain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet

FEWEST_DEGREES_OF_FREEDOM = 1.0
"""Below it nothing is known of a variance."""


@quiet
def largest_share_bound(clusters: ArrayLike, sum_square_shares: ArrayLike) -> FloatArray:
    """The largest share that a cluster can have, from the number of clusters and the sum of their squared shares.

    1/n + sqrt((n - 1)/n (S - 1/n)): the bound of Laguerre and Samuelson (1968, JASA 63, 1522-1525), reached where one
    cluster is large and all others are alike. Arguments broadcast; NaN where there is no cluster.
    """
    n, squares = floats(clusters, sum_square_shares)
    even = 1.0 / np.where(n > 0, n, np.nan)
    return np.asarray(np.minimum(even + np.sqrt((1.0 - even) * np.maximum(squares - even, 0.0)), 1.0))


@quiet
def leverage_inflation(clusters: ArrayLike, sum_square_shares: ArrayLike, largest_share: ArrayLike) -> FloatArray:
    """What the variance of `ratio_of_sums` must at least be multiplied by, whichever clusters carry the variance.

    By the expectation of r^2 above, E sum r^2 = V (1 - 2 m + S), with m the mean of the shares weighted by v, and m is
    never more than the largest share H. So sum r^2 / (1 - 2 H + S) is on average too large, never too small; for
    equal clusters it is exactly the n / (n - 1) that `ratio_of_sums` has already. (The leverage correction of Bell &
    McCaffrey 2002, Survey Methodology 28, 169-181, without the sums by cluster that it needs.)

    NaN where one cluster is all there is. Arguments broadcast.
    """
    n, squares, share = floats(clusters, sum_square_shares, largest_share)
    even = 1.0 / np.where(n > 0, n, np.nan)
    left = 1.0 - 2.0 * share + np.maximum(squares, share * share)
    return np.asarray(np.where(left > 0, np.maximum((1.0 - even) / left, 1.0), np.nan))


@quiet
def combined_inverse_freedom(
    variance0: ArrayLike, inverse_freedom0: ArrayLike, variance1: ArrayLike, inverse_freedom1: ArrayLike
) -> FloatArray:
    """1 / degrees of freedom of the sum of two estimated variances (Welch 1947, Satterthwaite 1946); 0: known."""
    v0, f0, v1, f1 = floats(variance0, inverse_freedom0, variance1, inverse_freedom1)
    share = v0 / (v0 + v1)
    return np.asarray(share * share * f0 + (1.0 - share) * (1.0 - share) * f1)


@quiet
def student_inflation(critical_z: ArrayLike, inverse_freedom: ArrayLike) -> FloatArray:
    """What a normal critical value must be multiplied by where the variance has few degrees of freedom.

    With t = sqrt(f (exp(c^2 z^2 / f) - 1)), the inverse of Wallace's z = sqrt(f ln(1 + t^2 / f)) / c and its factor
    c = (8 f + 3) / (8 f + 1) (1959, Annals of Mathematical Statistics 30, 1121-1130): from three degrees of freedom
    on no more than 1 percent under Student's t. 1 at infinitely many, NaN under one. Arguments broadcast.
    """
    z, inverse = floats(critical_z, inverse_freedom)
    factor = _wallace(inverse)
    excess = (factor * z) ** 2 * inverse
    # Many degrees of freedom: 1 + x/4 is exact to rounding, and 0 / 0 is none.
    inflation = factor * np.where(excess > 1e-8, np.sqrt(np.expm1(excess) / excess), 1.0 + excess / 4.0)
    return np.where(inverse * FEWEST_DEGREES_OF_FREEDOM <= 1.0, inflation, np.nan)


@quiet
def normal_equivalent(t: ArrayLike, inverse_freedom: ArrayLike) -> FloatArray:
    """The z that is as surprising as `t` is at so few degrees of freedom: the inverse of `student_inflation`."""
    value, inverse = floats(t, inverse_freedom)
    squares = value * value * inverse
    z = np.where(squares > 1e-8, value * np.sqrt(np.log1p(squares) / squares), value) / _wallace(inverse)
    return np.where(inverse * FEWEST_DEGREES_OF_FREEDOM <= 1.0, z, np.nan)


def _wallace(inverse_freedom: FloatArray) -> FloatArray:
    """(8 f + 3) / (8 f + 1) out of 1 / f."""
    return np.asarray((8.0 + 3.0 * inverse_freedom) / (8.0 + inverse_freedom))
