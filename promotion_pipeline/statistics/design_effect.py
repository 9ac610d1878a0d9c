"""How much more a mean of requests varies because several of them are one user's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats, quiet


@quiet
def design_effect(requests: ArrayLike, sum_square_requests: ArrayLike, correlation: ArrayLike) -> FloatArray:
    """Variance of a mean of requests over its variance were they independent: 1 + (m - 1) correlation.

    m = sum d^2 / sum d, with d the requests of one user: the requests that a user has, seen from a request (Kish 1965,
    Survey Sampling, section 8.2; unequal clusters: Donner, Birkett & Buck 1981, American Journal of Epidemiology 114,
    906-914). Arguments broadcast; NaN without requests. Never under 1: users are not taken to be surer than requests.

    Args:
        requests: sum over users of d; with a mean instead, give the mean of d^2 beside it.
        sum_square_requests: sum over users of d^2.
        correlation: of the outcomes of two requests of one user.
    """
    total, squares, rho = floats(requests, sum_square_requests, correlation)
    seen = squares / np.where(total > 0, total, np.nan)
    return np.asarray(np.maximum(1.0 + (seen - 1.0) * rho, 1.0))
