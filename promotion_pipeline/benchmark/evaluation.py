"""`evaluate()` against the same arithmetic in bare numpy, in one run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri

from promotion_pipeline.benchmark.measure import interleaved, peak_memory_mb
from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline.evaluation.split import SRM_ALPHA

START = pd.Timestamp("2026-01-01T00:00:00Z")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Workload:
    """Synthetic rollups: long frames for `evaluate`, and the same rows as integer codes for bare numpy."""

    rollups: pd.DataFrame
    experiments: pd.DataFrame
    shape: tuple[int, int, int]
    """(experiments, hours, variants)."""


def workload(experiments: int, hours: int, variants: int, seed: int = 0) -> Workload:
    """A/A experiments with Poisson(60) requests an hour and arm at 5 % conversion."""
    rng = np.random.default_rng(seed)
    ids = np.array([str(uuid.UUID(int=number)) for number in range(experiments)], dtype=object)
    arms = np.array([str(uuid.UUID(int=2**64 + number)) for number in range(experiments * variants)], dtype=object)
    size = experiments * hours * variants
    experiment = np.repeat(np.arange(experiments), hours * variants)
    hour = np.tile(np.repeat(np.arange(hours), variants), experiments)
    arm = np.tile(np.arange(variants), experiments * hours)
    requests = rng.poisson(60, size)
    rollups = pd.DataFrame(
        {
            "experiment_id": ids[experiment],
            "variant_id": arms[experiment * variants + arm],
            "hour": START + pd.to_timedelta(hour, unit="h"),
            "requests": requests,
            "conversions": rng.binomial(requests, 0.05),
            "errors": rng.binomial(requests, 0.01),
            "latency_ms_sum": requests * 100.0,
            "value_sum": requests * 1.0,
        }
    )
    number = np.arange(experiments * variants)
    frame = pd.DataFrame(
        {
            "experiment_id": ids[number // variants],
            "name": [f"experiment-{n}" for n in number // variants],
            "variant_id": arms,
            "variant_name": [f"variant-{n}" for n in number % variants],
            "is_control": number % variants == 0,
            "traffic_percentage": 100.0 / variants,
            "started_at": START,
        }
    )
    return Workload(rollups, frame, (experiments, hours, variants))


def bare_numpy(load: Workload) -> dict[str, Floats]:
    """The arithmetic of `evaluate` without ids, guards, phases, thresholds of their own, or frames.

    Scatter, cumulative sums, rates, pooled z, lift, both intervals, both p-values, Holm, SRM, five checks, candidate.
    """
    experiments, hours, variants = load.shape
    experiment = np.repeat(np.arange(experiments), hours * variants)
    hour = np.tile(np.repeat(np.arange(hours), variants), experiments)
    arm = np.tile(np.arange(variants), experiments * hours)
    cell = (arm * experiments + experiment) * hours + hour
    n, x, errors, latency, value = (
        np.cumsum(
            np.bincount(cell, weights=load.rollups[name].to_numpy(), minlength=len(cell)).reshape(
                variants, experiments, hours
            ),
            axis=2,
        )
        for name in ("requests", "conversions", "errors", "latency_ms_sum", "value_sum")
    )
    alpha, shared = 0.05, 0.05 / (variants - 1)
    with np.errstate(all="ignore"):
        rate, error_rate, mean_latency, mean_value = x / n, errors / n, latency / n, value / n
        p0, p1, n0, n1 = rate[:1], rate[1:], n[:1], n[1:]
        pooled = (x[:1] + x[1:]) / (n0 + n1)
        z = (p1 - p0) / np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
        p_value = 2 * ndtr(-np.abs(z))
        confidence, lift = 100 * (1 - p_value), p1 / p0 - 1
        variance = rate * (1 - rate) / n
        se = np.sqrt(variance[1:] / p0**2 + variance[:1] * p1**2 / p0**4)
        fixed = [lift - ndtri(1 - alpha / 2) * se, lift + ndtri(1 - alpha / 2) * se]
        n_star = np.maximum(5000, 3.5 * (n0 + n1)[:, :, 47:48])
        k = (n0 + n1) * (-2 * np.log(shared) + np.log(1 - 2 * np.log(shared))) / n_star
        half = se * np.sqrt((1 + 1 / k) * (np.log1p(k) - 2 * np.log(shared)))
        always_valid_p = np.exp(np.minimum(0.5 * (np.log1p(k) - (lift / se) ** 2 / (1 + 1 / k)), 0))
        order = np.argsort(p_value, axis=0)
        steps = np.take_along_axis(p_value, order, axis=0) * np.arange(variants - 1, 0, -1)[:, None, None]
        adjusted = np.minimum(np.maximum.accumulate(steps, axis=0), 1)
        expected = n.sum(axis=0) / variants
        srm = chdtrc(variants - 1, ((n - expected) ** 2 / expected).sum(axis=0))
        old_enough = np.arange(1, hours + 1) >= 48
        passed = (np.minimum(n0, n1) >= 1000) & (confidence >= 95) & (z > 0) & (lift >= 0.05)
        passed &= (error_rate[1:] <= 0.05) & old_enough
        score = np.where(passed.any(axis=0), np.where(passed, p1, -1), z)
        candidate = np.argmax(score, axis=0)[None]
        chosen = [np.take_along_axis(a, candidate, axis=0)[0] for a in (z, p_value, lift, lift - half, lift + half)]
        eligible = np.take_along_axis(passed, candidate, axis=0)[0]
        promotable = eligible & (chosen[3] > 0) & (srm >= SRM_ALPHA)
    return {
        "z": z,
        "fixed": fixed[0],
        "always_valid_p": always_valid_p,
        "adjusted": adjusted,
        "promotable": promotable,
        "latency": mean_latency,
        "value": mean_value,
    }


def judged(experiments: int, hours: int, variants: int) -> Evaluation:
    """Make a workload and evaluate it: what the memory is measured on."""
    load = workload(experiments, hours, variants)
    return evaluate(load.rollups, load.experiments)


@dataclass(frozen=True)
class _Judge:
    """A picklable call."""

    experiments: int
    hours: int
    variants: int

    def __call__(self) -> None:
        judged(self.experiments, self.hours, self.variants)


def report(experiments: int = 1000, hours: int = 720, variants: int = 3, runs: int = 5) -> str:
    """Print-ready lines: ratio to bare numpy, medians, peak memory."""
    load = workload(experiments, hours, variants)
    times = interleaved(
        {"evaluate": lambda: evaluate(load.rollups, load.experiments), "numpy": lambda: bare_numpy(load)}, runs=runs
    )
    memory = peak_memory_mb(_Judge(experiments, hours, variants))
    whole, bare = times["evaluate"].median, times["numpy"].median
    return "\n".join(
        [
            f"evaluate(), {experiments:,} experiments x {hours} hours x {variants} variants, medians of {runs} runs",
            f"  ratio to the same arithmetic in bare numpy   {whole / bare:.2f}",
            f"  evaluate()                                   {whole:.3f} s",
            f"  bare numpy                                   {bare:.3f} s",
            f"  peak memory of the process, input included   {memory:,.0f} MB",
        ]
    )
