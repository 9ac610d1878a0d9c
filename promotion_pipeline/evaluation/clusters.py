"""The users behind an arm's requests: how few they are in effect, and how much of the arm the largest of them is.

Arrays are (slots, units, hours). A request without a user is a user of its own with one request. All of it follows from
additive sums: no user is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.statistics import largest_share_bound

POWER = 16
"""Of the power sum: its 16th root lies between the largest user's requests and, with k users as large, k^(1/16) times
these. Unlike a maximum it is additive."""
POWER_SUM = "user_requests_sum_sixteenth_powers"
LARGE_SHARE = 0.01
"""A user with more of an arm's requests than this is told to people."""


@dataclass(frozen=True)
class Clusters:
    """Arrays (slots, units, hours); where no user is known, each request is a cluster."""

    users: Floats
    """Known users."""
    anonymous: Floats
    """Requests without a user."""
    count: Floats
    """Independent units: users, and each request without a user by itself."""
    sum_square_shares: Floats
    """Sum over clusters of (share of the arm's requests)^2: 1 / it is the number of equal users that weigh as much."""
    largest_share: Floats
    """At most this is the largest user's share of the arm's requests."""
    large_user: Bools
    """Whether one user has more than `LARGE_SHARE` of the arm's requests."""
    inverse_freedom: Floats
    """1 / degrees of freedom of a variance that is taken over the users; 0 where no user is known."""

    def of(self, units: slice | Bools) -> Clusters:
        """Those of some units."""
        return Clusters(**{name: values[:, units] for name, values in vars(self).items()})


def clusters_of(sums: dict[str, Floats]) -> Clusters:
    """The clusters behind each arm; O(cells)."""
    n = sums["requests"]
    users, alone = _known_users(sums)
    count = users + alone
    if not (users > 0).any() or "user_requests_sum_squares" not in sums:
        nothing = np.broadcast_to(0.0, n.shape)
        return Clusters(users, alone, count, nothing, nothing, np.broadcast_to(False, n.shape), nothing)
    with np.errstate(all="ignore"):
        squares = np.minimum((sums["user_requests_sum_squares"] + alone) / (n * n), 1.0)
        by_squares = largest_share_bound(count, squares)
        by_power = np.full_like(n, np.nan)
        if POWER_SUM in sums:
            total = sums[POWER_SUM]
            by_power = np.where(total > 0, np.sqrt(np.sqrt(np.sqrt(np.sqrt(np.maximum(total, 0.0))))) / n, np.nan)
        known = users > 0
        # The sum of squared shares is a mean of shares, weighted by them: no more than the largest.
        largest = np.maximum(np.fmin(by_squares, by_power), squares)
        large = known & np.where(np.isnan(by_power), squares > LARGE_SHARE, largest > LARGE_SHARE)
        freedom = np.where(known, squares / (1.0 - squares), 0.0)
    return Clusters(users, alone, count, squares, largest, large, freedom)


def _known_users(sums: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Known users, and requests without one; sums without user columns know none."""
    requests = sums["requests"]
    if "new_users" not in sums:
        return np.zeros_like(requests), requests
    known = sums["user_requests"] if "user_requests" in sums else np.where(sums["new_users"] > 0, requests, 0.0)
    return sums["new_users"], requests - known
