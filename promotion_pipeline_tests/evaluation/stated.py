"""Experiments that state metrics, and the sums of these, for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline_tests.evaluation.builders import START, experiment, sums

REVENUE = {"name": "revenue", "kind": "user_mean", "event": "purchase", "role": "goal"}
SIGN_UP = {"name": "sign-up", "kind": "user_proportion", "event": "sign_up", "role": "goal"}
REFUNDS = {"name": "refunds", "kind": "user_count", "event": "refund", "role": "guardrail", "direction": "decrease"}
LATENCY = {
    "name": "latency",
    "kind": "request_mean",
    "column": "latency_ms",
    "role": "guardrail",
    "direction": "decrease",
    "margin_percent": 5.0,
}
LEVEL = (20_000, 1_000)
"""Requests and conversions of an arm that is like the others."""
AHEAD = (20_000, 1_200)


def metric_rows(metric: str, arms: Mapping[str, Mapping[str, float]], **more: Any) -> pd.DataFrame:
    """The sums of a metric by arm, all in the first hour."""
    rows = [
        {
            "experiment_id": "button",
            "variant_id": f"button/{arm}",
            "hour": START,
            "metric": metric,
            **own,
            **more,
        }
        for arm, own in arms.items()
    ]
    return pd.DataFrame(rows)


def of_users(users: float, mean: float, sd: float = 1.0, **more: float) -> dict[str, float]:
    """The sums of an arm whose users have this mean and standard deviation."""
    total = users * mean
    squares = (users - 1) * sd * sd + total * mean
    return {"new_users": users, "value_sum": total, "user_value_sum_squares": squares, **more}


def of_requests(requests: float, mean: float, sd: float) -> dict[str, float]:
    """The same of an arm's requests, of which no user is known."""
    total = requests * mean
    return {"requests": requests, "value_sum": total, "value_sum_squares": (requests - 1) * sd * sd + total * mean}


def judged(
    stated: list[dict[str, Any]],
    metrics: pd.DataFrame | None,
    *,
    counts: Mapping[str, tuple[float, float]] | None = None,
    **columns: Any,
) -> Evaluation:
    """An experiment that is eligible by the contract, unless `counts` say otherwise, and states these metrics."""
    own = counts or {"control": LEVEL, "variant-a": AHEAD}
    arms = list(own)
    frame = experiment(arms=arms, metrics=[stated] * len(arms), **columns)
    return evaluate(users_known(sums(own)), frame, metrics=metrics)


def users_known(rollups: pd.DataFrame) -> pd.DataFrame:
    """Rollups in which every request is of a user of its own."""
    n, x = rollups["requests"], rollups["conversions"]
    return rollups.assign(
        new_users=n,
        user_conversions_sum_squares=x,
        user_requests_sum_squares=n,
        user_conversions_requests_sum_products=x,
    )


def result(found: Evaluation, metric: str, arm: str = "variant-a") -> pd.Series:
    """The newest row of a metric and treatment."""
    rows = found.metric_results
    own = rows[(rows["metric"] == metric) & (rows["variant_name"] == arm)]
    row: pd.Series = own[own["hour"] == own["hour"].max()].iloc[0]
    return row
