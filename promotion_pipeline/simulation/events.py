"""Events of simulated requests: who requested when, and when a conversion became visible.

An event is one integer: (user, hour, kind) in that order of significance, so that sorting the integers puts every
user's events in time order, a request before its late conversion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.simulation.populations import drawn_rates, giant_rates, giant_shares, requests_of_members
from promotion_pipeline.simulation.scenario import Scenario

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REQUEST, CONVERSION = 1, 2
"""Kinds, as bits: a request that converts at once is both."""
QUANTILES = 1 << 16
"""Steps in which the traffic of a whole experiment is divided to draw a visit's hour from."""


@dataclass(frozen=True)
class Events:
    """Sorted events of users; user u belongs to arm `arm[u]`, arms of all experiments numbered one after the other."""

    keys: Ints
    arm: Ints
    hour_bits: int
    members: int
    """Users beyond these are giants: a placeholder or a bot, one an arm, arm by arm."""

    @property
    def user(self) -> Ints:
        """User of each event."""
        return self.keys >> (self.hour_bits + 2)

    @property
    def hour(self) -> Ints:
        """Hour of each event, from the start."""
        return (self.keys >> 2) & ((1 << self.hour_bits) - 1)

    @property
    def is_request(self) -> Ints:
        """1 where the event is a request."""
        return self.keys & REQUEST

    @property
    def is_conversion(self) -> Ints:
        """1 where a conversion becomes visible."""
        return (self.keys >> 1) & 1


def user_events(scenario: Scenario, experiments: int, window_hours: int, rng: np.random.Generator) -> Events:
    """Draw every visit of the audiences of `experiments` experiments.

    `window_hours` is the attribution window: see `seen_in_hour`.
    """
    assert scenario.requests_per_user is not None
    arm, user, quantile = _visits(scenario, experiments, scenario.requests_per_user, rng)
    members = len(arm)
    rates = _member_rates(scenario, arm, rng)
    if giants := giant_shares(scenario):
        own_arm, own_user, own_quantile = _giant_visits(scenario, experiments, giants, rng)
        arm, user = np.concatenate([arm, own_arm]), np.concatenate([user, members + own_user])
        quantile = np.concatenate([quantile, own_quantile])
        rates = np.concatenate([rates, giant_rates(scenario, experiments, rng).ravel()])
    hour = _hour_of_quantile(scenario)[(quantile * QUANTILES).astype(np.int64)]
    chance = rates[user] if scenario.weekly_swing == 0 else rates[user] * scenario.level[hour]
    converted = rng.random(len(user), dtype=np.float32) < chance
    bits = int(scenario.hours).bit_length()
    place = ((user << bits) | hour) << 2
    if not any(scenario.delays_hours):
        return Events(np.sort(place | REQUEST | converted.astype(np.int64) << 1), arm, bits, members)
    of = np.flatnonzero(converted)
    seen = seen_in_hour(hour[of], arm[user[of]] % scenario.arms, scenario, window_hours, rng)
    in_time = seen < scenario.hours
    late = (((user[of] << bits) | seen) << 2 | CONVERSION)[in_time]
    return Events(np.sort(np.concatenate([place | REQUEST, late])), arm, bits, members)


def seen_in_hour(hour: Ints, arm: Ints, scenario: Scenario, window_hours: int, rng: np.random.Generator) -> Ints:
    """The hour of the rollup that makes a delayed conversion count exactly when the product would count it.

    A conversion of a request of hour h that is seen in hour s counts at an as-of that both lie before. Rolled up in
    hour s it does. With an attribution window of w hours the engine looks at hours up to w before the as-of
    only, so it is rolled up in hour max(h, s - w).
    """
    mean = np.array(scenario.arm_delays_hours)[arm]
    delayed = rng.random(len(hour)) + mean * rng.standard_exponential(len(hour))
    return np.asarray(np.maximum(hour, hour + delayed.astype(np.int64) - window_hours))


def _visits(
    scenario: Scenario, experiments: int, mean_requests: float, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """Arm of each member, member of each visit, moment of each visit as a share of the experiment's traffic."""
    window = None if scenario.visit_days is None else scenario.visit_days * 24 / scenario.hours
    # Visits before the start or after the end of the experiment are not seen.
    reach = 1.0 if window is None else 1.0 + window
    share = 1.0 - sum(giant_shares(scenario))
    members = share * scenario.arm_requests_per_hour * scenario.traffic.sum() * reach / mean_requests
    size = rng.poisson(np.tile(members, experiments))
    arm = np.repeat(np.arange(len(size)), size)
    count = requests_of_members(scenario, mean_requests, len(arm), rng)
    user = np.repeat(np.arange(len(arm)), count)
    moment = rng.random(len(user))
    if window is None:
        return arm, user, moment
    moment = rng.uniform(-window, 1.0, len(arm))[user] + window * moment
    inside = (moment >= 0) & (moment < 1)
    return arm, user[inside], moment[inside]


def _giant_visits(
    scenario: Scenario, experiments: int, shares: tuple[float, ...], rng: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """As `_visits`, of users who make a share of an arm's requests each, at any moment."""
    mean = np.tile(scenario.arm_requests_per_hour * scenario.traffic.sum(), experiments)
    count = rng.poisson(np.concatenate([share * mean for share in shares]))
    arm = np.tile(np.arange(len(mean)), len(shares))
    user = np.repeat(np.arange(len(arm)), count)
    return arm, user, rng.random(len(user))


def _hour_of_quantile(scenario: Scenario) -> Ints:
    """Hour in which each small step of the experiment's traffic falls."""
    ends = np.cumsum(scenario.traffic) / scenario.traffic.sum()
    middle = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.searchsorted(ends[:-1], middle, side="right"), dtype=np.int64)


def _member_rates(scenario: Scenario, arm: Ints, rng: np.random.Generator) -> Floats:
    """Each member's own conversion rate: beta with the arm's mean and variance correlation * rate * (1 - rate)."""
    rate = np.array(scenario.arm_rates)[arm % scenario.arms]
    return drawn_rates(rate, scenario.user_correlation, rng)
