"""The same experiments with five metrics each, for the cost of `evaluate()` beside the one without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.benchmark.evaluation import workload
from promotion_pipeline.benchmark.measure import interleaved
from promotion_pipeline.evaluation import evaluate

METRICS: list[dict[str, Any]] = [
    {"name": "revenue", "kind": "user_mean", "event": "buy", "role": "goal", "covariate": "same_metric_before"},
    {"name": "sign-up", "kind": "user_proportion", "event": "sign_up", "role": "goal"},
    {"name": "refunds", "kind": "user_count", "event": "refund", "role": "guardrail", "direction": "decrease"},
    {
        "name": "latency",
        "kind": "request_mean",
        "column": "latency_ms",
        "role": "guardrail",
        "direction": "decrease",
        "margin_percent": 10,
    },
    {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "refunds", "role": "secondary"},
]
"""A goal with CUPED, another goal, a guardrail without and one with a margin, and a ratio: all kinds."""


def metric_sums(rollups: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Sums of the five metrics for every row of the rollups, in the form in which they are read: ids are categories."""
    rng = np.random.default_rng(seed)
    n = rollups["requests"].to_numpy(dtype=np.float64)
    parts = []
    for metric in METRICS:
        events = rng.binomial(rollups["requests"], 0.05).astype(np.float64)
        keys = {name: rollups[name] for name in ("experiment_id", "variant_id", "hour")}
        sums = {"new_users": n, "requests": n, "samples": events}
        match metric["kind"]:
            case "user_proportion":
                sums |= {"value_sum": events, "user_value_sum_squares": events}
            case "user_mean" | "user_count":
                sums |= {"value_sum": 3 * events, "user_value_sum_squares": 9 * events, "covariate_sum": 2 * events}
                sums |= {"covariate_sum_squares": 4 * events, "user_value_covariate_sum_products": 5 * events}
            case _:
                squares, products = 1e4 * n + 300 * events, 100.0 * n + events
                sums |= {"value_sum": products, "value_sum_squares": squares, "user_value_sum_squares": squares}
                sums |= {"denominator_sum": n, "user_denominator_sum_squares": n}
                sums |= {"user_value_denominator_sum_products": products}
        parts.append(pd.DataFrame(keys | {"metric": metric["name"]} | sums))
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype(dict.fromkeys(("experiment_id", "variant_id", "metric"), "category"))


def report(experiments: int = 1000, hours: int = 720, variants: int = 3, runs: int = 5) -> str:
    """Print-ready lines: how many times as long the evaluation takes with five metrics an experiment."""
    load = workload(experiments, hours, variants)
    stated = load.experiments.assign(metrics=pd.Series([METRICS] * len(load.experiments), dtype=object))
    sums = metric_sums(load.rollups)
    times = interleaved(
        {
            "without": lambda: evaluate(load.rollups, load.experiments),
            "with": lambda: evaluate(load.rollups, stated, metrics=sums),
        },
        runs=runs,
    )
    without, both = times["without"].median, times["with"].median
    return "\n".join(
        [
            f"evaluate(), {experiments:,} experiments x {hours} hours x {variants} variants, medians of {runs} runs",
            f"  times as long with {len(METRICS)} metrics an experiment          {both / without:.2f}",
            f"  with metrics                                 {both:.3f} s",
            f"  without                                      {without:.3f} s",
        ]
    )
