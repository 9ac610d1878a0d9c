"""Experiments as they come and as they should not: arms, phases, ramps, plans, metrics, and broken rows among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline_tests.evaluation.builders import START
from promotion_pipeline_tests.evaluation.stated import LATENCY, REFUNDS, REVENUE, SIGN_UP

HOURS = 60
METRICS: list[dict[str, Any]] = [REVENUE | {"covariate": "same_metric_before"}, SIGN_UP, REFUNDS, LATENCY]
USER_SUMS = (
    "new_users",
    "user_requests",
    "user_requests_sum_squares",
    "user_conversions",
    "user_conversions_sum_squares",
    "user_conversions_requests_sum_products",
)
BROKEN: dict[str, float] = {"requests": np.nan, "conversions": 1e6, "errors": -3.0, "value_sum": np.inf}


@dataclass(frozen=True)
class Trial:
    """What `evaluate` is given."""

    rollups: pd.DataFrame
    experiments: pd.DataFrame
    metrics: pd.DataFrame | None
    hours: list[pd.Timestamp]


def trial(seed: int) -> Trial:
    """One to three experiments of any kind, all from one number."""
    rng = np.random.default_rng(seed)
    with_phases, with_segments = rng.random() < 0.5, rng.random() < 0.2
    experiments, rollups, metrics = [], [], []
    for number in range(rng.integers(1, 4)):
        own, rows, stated = _one(rng, f"e{number}", with_phases or with_segments, with_segments)
        experiments.append(own)
        rollups.append(rows)
        metrics.append(stated)
    newest = [START + pd.Timedelta(hours=int(hour)) for hour in np.sort(rng.choice(HOURS, rng.integers(1, 4), False))]
    order = rng.permutation(sum(map(len, rollups)))
    return Trial(
        pd.concat(rollups, ignore_index=True).iloc[order].reset_index(drop=True),
        pd.concat(experiments, ignore_index=True),
        pd.concat(metrics, ignore_index=True) if rng.random() < 0.8 else None,
        newest,
    )


def _one(
    rng: np.random.Generator, name: str, with_phases: bool, with_segments: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    arms = ["control", "b", "a", "c"][: rng.choice([1, 2, 2, 2, 3, 3, 4])]
    phases = int(rng.integers(1, 4)) if with_phases else 1
    starts = START + pd.to_timedelta(np.sort(rng.choice(HOURS, phases, False)) - rng.integers(20, 60), unit="h")
    own = [_phase(rng, name, arms, phase, starts) for phase in range(phases)]
    settings = _settings(rng)
    experiments = pd.concat(own, ignore_index=True)
    for column, value in settings.items():
        experiments[column] = pd.Series([value] * len(experiments), dtype=object)
    if with_segments:
        experiments["governs_from"] = experiments["started_at"].where(experiments["started_at"] > starts[0])
        experiments["governs_from"] = experiments["governs_from"].fillna(pd.Timestamp("2000-01-01", tz="UTC"))
        experiments["governs_until"] = experiments["ended_at"]
    if not with_phases:
        experiments = experiments.drop(columns=["phase_id", "ended_at"])
    rollups = _rollups(rng, experiments, stray=rng.random() < 0.1)
    return experiments, rollups, _metrics(rng, rollups)


def _phase(rng: np.random.Generator, name: str, arms: list[str], phase: int, starts: pd.DatetimeIndex) -> pd.DataFrame:
    shares = rng.dirichlet(np.full(len(arms), 5.0)) * 100 if rng.random() < 0.5 else np.full(len(arms), 100 / len(arms))
    is_control = [arm == "control" for arm in arms]
    if rng.random() < 0.05:
        is_control[-1] = not is_control[-1]
    ended = starts[phase + 1] if phase + 1 < len(starts) else pd.NaT
    return pd.DataFrame(
        {
            "experiment_id": name,
            "name": name,
            "variant_id": [f"{name}/{arm}" for arm in arms],
            "variant_name": arms,
            "is_control": is_control,
            "traffic_percentage": shares if rng.random() < 0.95 else shares / 2,
            "phase_id": f"{name}-{phase}",
            "started_at": starts[phase],
            "ended_at": pd.DatetimeIndex([ended] * len(arms), tz="UTC"),
        }
    )


def _settings(rng: np.random.Generator) -> dict[str, Any]:
    choices: dict[str, list[Any]] = {
        "evidence": ["always_valid", "fixed_horizon", "group_sequential", None],
        "planned_sample_size": [None, 2_000, 50_000],
        "group_sequential_spending": ["obrien_fleming", "alpha_t_squared", None],
        "primary_metric": ["conversion", "value_mean", "value_per_user", None],
        "direction": ["increase", "decrease", None],
        "guardrails": [("error_rate", "latency"), (), None],
        "attribution_window_hours": [0.0, 7.5, None],
        "min_sample_size": [10, None],
        "min_runtime_hours": [1.0, None],
        "whole_weeks": [True, None],
        "min_conversions": [20, None],
        "metrics": [*[METRICS, METRICS[:1], None] * 5, [{"name": "broken"}]],
        "config_error": [*[None] * 20, "max_error_rate=5"],
        "allows_corrections": [False, False, True],
    }
    return {name: options[rng.integers(len(options))] for name, options in choices.items()}


def _rollups(rng: np.random.Generator, experiments: pd.DataFrame, *, stray: bool) -> pd.DataFrame:
    keys = [name for name in ("experiment_id", "phase_id", "variant_id") if name in experiments.columns]
    arms = experiments[keys].drop_duplicates(ignore_index=True)
    if stray:
        arms = pd.concat([arms, arms.iloc[:1].assign(variant_id="nobody")], ignore_index=True)
    rows = arms.loc[np.repeat(np.arange(len(arms)), HOURS)].reset_index(drop=True)
    rows["hour"] = np.tile(pd.date_range(START, periods=HOURS, freq="h"), len(arms))
    size = len(rows)
    rows["requests"] = rng.poisson(rng.choice([2, 60, 900]), size)
    rows["conversions"] = rng.binomial(
        rows["requests"], rng.uniform(0.02, 0.5) * np.where(rows["variant_id"].str.endswith("a"), 1.5, 1.0)
    )
    rows["errors"] = rng.binomial(rows["requests"], 0.01)
    rows["latency_samples"] = rows["requests"]
    rows["latency_ms_sum"] = rows["requests"] * rng.uniform(50, 150, size)
    rows["latency_ms_sum_squares"] = rows["latency_ms_sum"] ** 2 / np.maximum(rows["requests"], 1) * 1.3
    rows["value_sum"] = rows["conversions"] * rng.uniform(1, 9, size)
    rows["value_sum_squares"] = rows["value_sum"] ** 2 / np.maximum(rows["conversions"], 1) * 1.1
    knows_users = rng.random() < 0.7
    for name in USER_SUMS:
        known = rows["conversions"] if "conversions" in name else rows["requests"]
        rows[name] = known if knows_users else 0
    rows["user_value_sum_squares"] = rows["value_sum_squares"]
    rows["user_value_requests_sum_products"] = rows["value_sum"]
    rows["crossed_users"] = rng.binomial(rows["requests"], rng.choice([0.0, 0.02]))
    rows["crossed_requests"] = rows["crossed_users"]
    rows["user_requests_sum_sixteenth_powers"] = np.where(rng.random(size) < 0.001, np.nan, rows["requests"])
    if rng.random() < 0.3:
        name = str(rng.choice(list(BROKEN)))
        rows[name] = rows[name].astype(float)
        rows.loc[rng.integers(size), name] = BROKEN[name]
    return rows[rng.random(size) < 0.9].reset_index(drop=True)


def _metrics(rng: np.random.Generator, rollups: pd.DataFrame) -> pd.DataFrame:
    keys = [name for name in ("experiment_id", "phase_id", "variant_id", "hour") if name in rollups.columns]
    users = rollups["requests"].fillna(0).to_numpy(dtype=float)
    parts = []
    for name in [str(one["name"]) for one in METRICS]:
        value = users * rng.uniform(0.5, 2.0, len(users))
        rows = rollups[keys].assign(metric=name, samples=users, new_users=users, requests=users, value_sum=value)
        rows["value_sum_squares"] = rows["user_value_sum_squares"] = value * 2.5
        rows["covariate_sum"] = users * rng.uniform(0.5, 2.0, len(users))
        rows["covariate_sum_squares"] = rows["covariate_sum"] * 2.2
        rows["user_value_covariate_sum_products"] = value * 1.4
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)
