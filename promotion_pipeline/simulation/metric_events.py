"""Hourly sums of the metrics of simulated users, as the evaluation takes them: the moments over users as increments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from promotion_pipeline.config import MetricConfig, MetricKind, MetricRole
from promotion_pipeline.simulation.events import Events, Floats, Ints
from promotion_pipeline.simulation.metric_scenario import SimulatedMetrics
from promotion_pipeline.simulation.scenario import Scenario
from promotion_pipeline.simulation.users import Runs

HABIT_VARIANCE = 1.5
"""Of the users' habits, whose mean is 1: gamma."""
EVENT_RATE = 0.1
"""Chance of a guardrail's event at a visit of a user of mean habit."""
LATENCY = 200.0

Sums = dict[str, Floats]


@dataclass(frozen=True)
class Visits:
    """The requests of users in order of user and time, arrays (requests,); cells number (arm, hour)."""

    user: Ints
    runs: Runs
    cell: Ints
    is_first: Floats
    cells: int
    treated: Floats
    """1 where the request is one of a first treatment."""
    level: Floats
    """What all values of the hour are multiplied by: the week."""

    @classmethod
    def of(cls, events: Events, scenario: Scenario, arms: int) -> Visits:
        """The requests among the events of the arms of some experiments."""
        seen = events.is_request == 1
        user, hour = events.user[seen], events.hour[seen]
        arm = events.arm[user]
        runs = Runs.of(user)
        return cls(
            user=user,
            runs=runs,
            cell=arm * scenario.hours + hour,
            is_first=runs.is_first(),
            cells=arms * scenario.hours,
            treated=(arm % scenario.arms == 1).astype(np.float64),
            level=scenario.level[hour],
        )

    def summed(self, share: Floats) -> Floats:
        """Sums by cell."""
        return np.asarray(np.bincount(self.cell, weights=share, minlength=self.cells), dtype=np.float64)


def metric_sums(metrics: SimulatedMetrics, visits: Visits, users: int, rng: np.random.Generator) -> dict[str, Sums]:
    """The sums of every stated metric, by its name: arrays (cells,).

    Args:
        users: how many there are.
    """
    habit = rng.gamma(1.0 / HABIT_VARIANCE, HABIT_VARIANCE, users)
    new_users = visits.summed(visits.is_first)
    return {
        metric.name: {"new_users": new_users} | _of_metric(metric, metrics, visits, habit, rng, number)
        for number, metric in enumerate(metrics.stated)
    }


def _of_metric(
    metric: MetricConfig,
    metrics: SimulatedMetrics,
    visits: Visits,
    habit: Floats,
    rng: np.random.Generator,
    number: int,
) -> Sums:
    lift = metrics.guardrail_lift if metric.role is MetricRole.GUARDRAIL else metrics.goal_lift * (number == 0)
    mean = habit[visits.user] * visits.level * (1.0 + lift * visits.treated)
    size = len(mean)
    if metric.kind is MetricKind.USER_PROPORTION:
        # Thinned after the habit, so that the lift is one of the share of users and not of their events.
        seen = rng.random(size) < np.minimum(EVENT_RATE * habit[visits.user] * visits.level, 1.0)
        kept = rng.random(len(habit))[visits.user] * (1.0 + max(lift, 0.0)) < 1.0 + lift * visits.treated
        happened = (seen & kept).astype(np.float64)
        first = ((visits.runs.before(happened) == 0) & (happened > 0)).astype(np.float64)
        found = visits.summed(first)
        return {"value_sum": found, "user_value_sum_squares": found}
    if metric.kind is MetricKind.USER_COUNT:
        return _of_users(visits, rng.poisson(EVENT_RATE * mean).astype(np.float64))
    if metric.kind is MetricKind.REQUEST_MEAN:
        usual = LATENCY * (0.5 + 0.5 * habit[visits.user]) * (1.0 + lift * visits.treated)
        return _of_requests(visits, usual * rng.standard_exponential(size))
    value = mean * rng.standard_exponential(size)
    sums = _of_users(visits, value)
    if metrics.covariate_correlation is None:
        return sums
    past = _past(metrics.covariate_correlation, visits, habit, rng)
    of_visit = past[visits.user]
    return sums | {
        "covariate_sum": visits.summed(visits.is_first * of_visit),
        "covariate_sum_squares": visits.summed(visits.is_first * of_visit * of_visit),
        "user_value_covariate_sum_products": visits.summed(value * of_visit),
    }


def _past(correlation: float, visits: Visits, habit: Floats, rng: np.random.Generator) -> Floats:
    """The users' values before: their habit and noise, as much as gives the correlation with their values since."""
    visited = np.bincount(visits.user, minlength=len(habit)).astype(np.float64)
    visited = visited[visited > 0]
    # Of a user's value, habit times a sum of exponential values: mean and variance by the law of total variance.
    mean, square = visited.mean(), (visited * visited + visited).mean()
    spread = (1.0 + HABIT_VARIANCE) * square - mean * mean
    of_habit = np.sqrt(HABIT_VARIANCE) * mean / np.sqrt(spread)
    share = min(correlation / of_habit, 1.0)
    noise = rng.standard_normal(len(habit)) * np.sqrt(HABIT_VARIANCE) * np.sqrt(1.0 - share * share)
    return np.asarray(10.0 + share * habit + noise)


def _of_users(visits: Visits, value: Floats) -> Sums:
    before = visits.runs.before(value)
    return {
        "value_sum": visits.summed(value),
        "user_value_sum_squares": visits.summed(2.0 * before * value + value * value),
    }


def _of_requests(visits: Visits, value: Floats) -> Sums:
    one = np.ones(len(value))
    y, d = visits.runs.before(value), visits.runs.before(one)
    requests = visits.summed(one)
    return _of_users(visits, value) | {
        "requests": requests,
        "value_sum_squares": visits.summed(value * value),
        "denominator_sum": requests,
        "user_denominator_sum_squares": visits.summed(2.0 * d + 1.0),
        "user_value_denominator_sum_products": visits.summed(y + d * value + value),
    }


def metrics_frame(groups: Sequence[dict[str, Sums]], keys: pd.DataFrame) -> pd.DataFrame:
    """The frame that `evaluate` takes, a row per (experiment, variant, hour, metric).

    Args:
        groups: sums of consecutive cells.
        keys: experiment_id, variant_id and hour of the cells.
    """
    sums = {
        name: {column: np.concatenate([group[name][column] for group in groups]) for column in groups[0][name]}
        for name in groups[0]
    }
    names = sorted({column for of_metric in sums.values() for column in of_metric})
    cells = len(keys)
    frame = pd.concat([keys] * len(sums), ignore_index=True)
    frame["metric"] = pd.Categorical.from_codes(
        np.repeat(np.arange(len(sums), dtype=np.int64), cells), pd.Index(list(sums))
    )
    nothing = np.zeros(cells)
    for name in names:
        frame[name] = np.concatenate([of_metric.get(name, nothing) for of_metric in sums.values()])
    return frame
