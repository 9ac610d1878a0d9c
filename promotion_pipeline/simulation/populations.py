"""Users that no two of which are alike: placeholders, bots, and a few with thousands of requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.simulation.scenario import Scenario

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_REQUESTS = 20_000
"""Of one user: where a tail without end is cut off."""


def requests_of_members(scenario: Scenario, mean: float, members: int, rng: np.random.Generator) -> Ints:
    """How many requests each member makes, one at least: 1 + Poisson, or with a tail of power `power_law`."""
    if scenario.power_law is None:
        return np.asarray(1 + rng.poisson(mean - 1.0, members), dtype=np.int64)
    scale = _scale(mean, scenario.power_law)
    drawn = scale * rng.random(members) ** (-1.0 / scenario.power_law)
    return np.asarray(np.clip(drawn, 1.0, MOST_REQUESTS), dtype=np.int64)


def _scale(mean: float, power: float) -> float:
    """The scale at which counts of P(count >= c) = min(1, (scale / c)^power) have the mean; by bisection."""
    counts = np.arange(1.0, MOST_REQUESTS + 1.0)
    low, high = 1.0, mean
    for _ in range(60):
        middle = (low + high) / 2.0
        found = float(np.minimum(1.0, (middle / counts) ** power).sum())
        low, high = (middle, high) if found < mean else (low, middle)
    return low


def giant_shares(scenario: Scenario) -> tuple[float, ...]:
    """Shares of an arm's requests that one user makes: the placeholder's, then the bot's; those there are."""
    return tuple(share for share in (scenario.guest_share, scenario.bot_share) if share > 0)


def giant_rates(scenario: Scenario, experiments: int, rng: np.random.Generator) -> Floats:
    """Conversion rates of the giants of every arm, shape (giants, arms of all experiments).

    A placeholder stands for many people: each of its requests converts as the arm does, by itself. A bot has a rate of
    its own, drawn like a member's and no better on a treatment; the same one in every arm, or one an arm.
    """
    arm_rates = np.tile(np.array(scenario.arm_rates), experiments)
    rates = [arm_rates] if scenario.guest_share > 0 else []
    if scenario.bot_share > 0:
        own = drawn_rates(np.full(experiments * scenario.arms, scenario.base_rate), scenario.user_correlation, rng)
        if not scenario.bots_apart:
            own = np.repeat(own[:: scenario.arms], scenario.arms)
        rates.append(own)
    return np.array(rates).reshape(len(rates), experiments * scenario.arms)


def drawn_rates(mean: Floats, correlation: float, rng: np.random.Generator) -> Floats:
    """Conversion rates of single users: beta with these means and variance correlation * mean * (1 - mean)."""
    if correlation == 0:
        return mean
    size = 1.0 / correlation - 1.0
    return rng.beta(mean * size, (1.0 - mean) * size)


def crossings(requests: Ints) -> tuple[Ints, Ints]:
    """What one user of several arms adds to crossed_users and crossed_requests, arrays as `requests`.

    Args:
        requests: the user's, shape (experiments, arms, hours).
    """
    served = np.asarray(requests.cumsum(axis=2) > 0)
    earlier_hour = np.zeros_like(served)
    earlier_hour[:, :, 1:] = served[:, :, :-1]
    met_before = earlier_hour.any(axis=1, keepdims=True)
    met_this_hour = np.asarray(served.cumsum(axis=1) - served > 0)
    crossed_users = served & ~earlier_hour & (met_before | met_this_hour)
    so_far = np.where(served.sum(axis=1) > 1, requests.cumsum(axis=2).sum(axis=1), 0)
    crossed_requests = np.zeros_like(requests)
    # Only their sum over the arms is asked for.
    crossed_requests[:, 0] = np.diff(so_far, axis=1, prepend=0)
    return crossed_users.astype(np.int64), crossed_requests
