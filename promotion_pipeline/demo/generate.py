"""Requests of the demo's experiments: the same for the same seed, times apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.demo.experiments import DEMO_EXPERIMENTS, Arm, DemoExperiment

SEED = 20_251_123
REQUESTS_PER_USER = 4
HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Requests:
    """Requests of one experiment, one entry of each array a request."""

    arm: NDArray[np.int64]
    """Index into the experiment's arms."""
    user: NDArray[np.int64]
    second: NDArray[np.float64]
    """Seconds after the experiment's start."""
    latency_ms: NDArray[np.float64]
    is_error: NDArray[np.bool_]
    converted: NDArray[np.bool_]
    value: NDArray[np.float64]
    """Revenue; NaN where nothing was bought."""


def request_counts(total: int) -> dict[str, int]:
    """How many of `total` requests each experiment gets."""
    weights = sum(experiment.weight for experiment in DEMO_EXPERIMENTS)
    return {experiment.name: -(-total * experiment.weight // weights) for experiment in DEMO_EXPERIMENTS}


def generate(experiment: DemoExperiment, count: int, seconds: float) -> Requests:
    """`count` requests over `seconds` since the start: busier by day, from users that return.

    Conversions and errors are exact shares in random places, so an experiment's ending does not hang on luck.
    """
    number = DEMO_EXPERIMENTS.index(experiment)
    rng = np.random.default_rng([SEED, number])
    users = max(len(experiment.arms), count // REQUESTS_PER_USER)
    arm_of_user = rng.permutation(_arm_of_users(experiment.arms, users))
    user = (users * rng.random(count) ** 1.2).astype(np.int64)
    arm = arm_of_user[user]
    sizes = np.bincount(arm, minlength=len(experiment.arms))
    is_error, converted = np.zeros(count, bool), np.zeros(count, bool)
    latency_ms = np.empty(count)
    for index, own in enumerate(experiment.arms):
        rows = np.flatnonzero(arm == index)
        converted[_sample(rng, rows, _rate(experiment.arms, sizes, index))] = True
        is_error[_sample(rng, rows, own.error_rate)] = True
        latency_ms[rows] = np.round(rng.gamma(4.0, own.latency_ms / 4.0, len(rows)), 1)
    return Requests(
        arm=arm,
        user=user + number * 1_000_000,
        second=_seconds(rng, count, seconds),
        latency_ms=latency_ms,
        is_error=is_error,
        converted=converted,
        value=np.where(converted, np.round(rng.lognormal(3.5, 0.5, count), 2), np.nan),
    )


def _arm_of_users(arms: tuple[Arm, ...], users: int) -> NDArray[np.int64]:
    shares = np.array([arm.traffic if arm.served is None else arm.served for arm in arms]) / 100
    return np.searchsorted(np.cumsum(shares), (np.arange(users) + 0.5) / users).astype(np.int64)


def _rate(arms: tuple[Arm, ...], sizes: NDArray[np.int64], index: int) -> float:
    own = arms[index]
    if own.z is None:
        return own.rate
    control = arms[0].rate
    variance = control * (1 - control) * (1 / sizes[0] + 1 / sizes[index])
    return float(control + own.z * np.sqrt(variance))


def _sample(rng: np.random.Generator, rows: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    return rng.permutation(rows)[: round(share * len(rows))]


def _seconds(rng: np.random.Generator, count: int, seconds: float) -> NDArray[np.float64]:
    """Instants in [0, seconds): an hour by its traffic, then evenly within it."""
    hours = np.arange(max(1, int(np.ceil(seconds / HOUR_SECONDS))))
    lengths = np.minimum(HOUR_SECONDS, seconds - hours * HOUR_SECONDS)
    weights = (1.0 + 0.6 * np.sin(2 * np.pi * (hours - 9) / 24)) * lengths
    hour = rng.choice(hours, count, p=weights / weights.sum())
    return np.asarray(hour * float(HOUR_SECONDS) + rng.random(count) * lengths[hour])
