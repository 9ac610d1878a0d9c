"""Simulated experiments as the frames that `evaluate` takes; columns named as in `hourly_variant_rollups`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation.clusters import POWER, POWER_SUM
from promotion_pipeline.simulation.events import Bools, Events, Floats, Ints, seen_in_hour, user_events
from promotion_pipeline.simulation.metric_events import Sums as MetricSums
from promotion_pipeline.simulation.metric_events import Visits, metric_sums, metrics_frame
from promotion_pipeline.simulation.populations import crossings
from promotion_pipeline.simulation.scenario import Scenario

START = pd.Timestamp("2026-01-01T00:00:00Z")
USER_COLUMNS = (
    "new_users",
    "user_requests",
    "user_conversions",
    "user_conversions_sum_squares",
    "user_requests_sum_squares",
    "user_conversions_requests_sum_products",
)
GIANT_COLUMNS = ("crossed_users", "crossed_requests", POWER_SUM)
Sums = dict[str, Ints | Floats]
EVENTS_AT_ONCE = 1_000_000
"""Keeps a group's arrays near the processor's cache."""
EVENTS_OF_METRICS_AT_ONCE = 150_000
"""The same where each event has several values."""


def rollups_of(scenario: Scenario, experiments: int, rng: np.random.Generator, window_hours: int = 0) -> pd.DataFrame:
    """Hourly sums of `experiments` experiments, a row per (experiment, variant, hour)."""
    return frames_of(scenario, experiments, rng, window_hours)[0]


def frames_of(
    scenario: Scenario, experiments: int, rng: np.random.Generator, window_hours: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Hourly sums of `experiments` experiments, and those of the metrics that they state, if any.

    Args:
        window_hours: the attribution window that the frames will be evaluated with.
    """
    of_metrics: list[dict[str, MetricSums]] = []
    if scenario.requests_per_user is None:
        sums = request_sums(scenario, experiments, window_hours, rng)
    else:
        at_once = EVENTS_AT_ONCE if scenario.metrics is None else EVENTS_OF_METRICS_AT_ONCE
        each = max(1, int(at_once / (scenario.arm_requests_per_hour.sum() * scenario.hours)))
        sizes = [min(each, experiments - first) for first in range(0, experiments, each)]
        groups = [_sums_of_users(scenario, n, window_hours, rng, of_metrics) for n in sizes]
        sums = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    arm = np.repeat(np.arange(experiments * scenario.arms, dtype=np.int32), scenario.hours)
    of_row = np.tile(np.arange(scenario.hours), experiments * scenario.arms)
    keys = pd.DataFrame(
        {
            "experiment_id": pd.Categorical.from_codes(arm // scenario.arms, names_of("experiment", experiments)),
            "variant_id": pd.Categorical.from_codes(arm, names_of("variant", experiments * scenario.arms)),
            "hour": pd.date_range(START, periods=scenario.hours, freq="h").as_unit("us").take(of_row),
        },
        copy=False,
    )
    counts = {name: values.reshape(-1) for name, values in sums.items()}
    rollups = keys.assign(**counts, errors=np.zeros(len(arm), dtype=np.int64))
    return rollups, metrics_frame(of_metrics, keys) if of_metrics else None


def _sums_of_users(
    scenario: Scenario,
    experiments: int,
    window_hours: int,
    rng: np.random.Generator,
    of_metrics: list[dict[str, MetricSums]],
) -> Sums:
    """User-level sums of some experiments, with what users of several arms add; arrays (arms of all, hours).

    Args:
        of_metrics: gets the sums of the metrics that they state, if any.
    """
    events = user_events(scenario, experiments, window_hours, rng)
    arms, hours = experiments * scenario.arms, scenario.hours
    sums = user_sums(events, arms, hours)
    if scenario.metrics is not None:
        of_metrics.append(metric_sums(scenario.metrics, Visits.of(events, scenario, arms), len(events.arm), rng))
    shared = (scenario.guest_share > 0) + (scenario.bot_share > 0 and not scenario.bots_apart)
    user = events.user
    for giant in range(shared):
        first = events.members + giant * arms
        own = (user >= first) & (user < first + arms) & (events.is_request == 1)
        cell = (user[own] - first) * hours + events.hour[own]
        requests = np.bincount(cell, minlength=arms * hours).reshape(experiments, scenario.arms, hours)
        users, of_them = crossings(requests)
        sums["crossed_users"] = sums["crossed_users"] + users.reshape(arms, hours)
        sums["crossed_requests"] = sums["crossed_requests"] + of_them.reshape(arms, hours)
    return sums


def experiments_of(scenario: Scenario, experiments: int) -> pd.DataFrame:
    """A row per variant; variant names are arm numbers, "0" is control."""
    return experiments_with(scenario.declared_percent, experiments)


def experiments_with(percent: Sequence[float], experiments: int) -> pd.DataFrame:
    """The same for a split in percent, control first."""
    arms = len(percent)
    number = np.arange(experiments * arms)
    experiment = names_of("experiment", experiments)[number // arms]
    return pd.DataFrame(
        {
            "experiment_id": experiment,
            "name": experiment,
            "variant_id": names_of("variant", len(number)),
            "variant_name": (number % arms).astype(str),
            "is_control": number % arms == 0,
            "traffic_percentage": np.tile(percent, experiments),
            "started_at": START,
        }
    )


def names_of(kind: str, count: int) -> pd.Index:
    """The ids of simulated experiments or variants: their numbers, after what they are."""
    return pd.Index([f"{kind}-{number}" for number in range(count)], dtype=object)


def request_sums(scenario: Scenario, experiments: int, window_hours: int, rng: np.random.Generator) -> Sums:
    """Requests without users: Poisson an hour and arm, each converting by itself; arrays (arms of all, hours)."""
    mean = scenario.arm_requests_per_hour[None, :, None] * scenario.traffic
    requests = rng.poisson(np.broadcast_to(mean, (experiments, scenario.arms, scenario.hours)))
    conversions = rng.binomial(requests, np.array(scenario.arm_rates)[None, :, None] * scenario.level)
    requests, conversions = (counts.reshape(-1, scenario.hours) for counts in (requests, conversions))
    if any(scenario.delays_hours):
        arm, hour = (np.repeat(index.ravel(), conversions.ravel()) for index in np.indices(conversions.shape))
        seen = seen_in_hour(hour, arm % scenario.arms, scenario, window_hours, rng)
        in_time = seen < scenario.hours
        cell = arm[in_time] * scenario.hours + seen[in_time]
        conversions = np.bincount(cell, minlength=conversions.size).reshape(conversions.shape)
    return {"requests": requests, "conversions": conversions}


def user_sums(events: Events, arms: int, hours: int) -> Sums:
    """Exact hourly sums of users' events, the moments over users as increments; arrays (arms, hours).

    With a user's totals y, d before an event and its share dy, dd (0 or 1): inc(y^2) = 2 y dy + dy^2,
    inc(d^2) = 2 d dd + dd^2, inc(y d) = y dd + d dy + dy dd.
    """
    user, dd, dy = events.user, events.is_request, events.is_conversion
    is_first = np.ones(len(user), dtype=bool)
    is_first[1:] = user[1:] != user[:-1]
    d, y = _before(dd, is_first), _before(dy, is_first)
    cell = events.arm[user] * hours + events.hour

    def summed(share: Ints | Floats) -> Ints:
        # bincount adds float64, which is exact for whole numbers up to 2^53.
        return np.bincount(cell, weights=share, minlength=arms * hours).astype(np.int64).reshape(arms, hours)

    requests, conversions = summed(dd), summed(dy)
    before = d.astype(np.float64)
    powers = np.bincount(cell, weights=((before + 1.0) ** POWER - before**POWER) * dd, minlength=arms * hours)
    return {
        "requests": requests,
        "conversions": conversions,
        "new_users": summed(is_first),
        "user_requests": requests,
        "user_conversions": conversions,
        "user_conversions_sum_squares": summed((2 * y + 1) * dy),
        "user_requests_sum_squares": summed((2 * d + 1) * dd),
        "user_conversions_requests_sum_products": summed(y * dd + d * dy + dy * dd),
        "crossed_users": np.zeros_like(requests),
        "crossed_requests": np.zeros_like(requests),
        POWER_SUM: powers.reshape(arms, hours),
    }


def _before(share: Ints, is_first: Bools) -> Ints:
    """A user's total before each of its events, from the shares of all users' events in order."""
    before = np.cumsum(share) - share
    # The running total never falls, so the latest user's starting total is the largest so far.
    return np.asarray(before - np.maximum.accumulate(np.where(is_first, before, 0)))
