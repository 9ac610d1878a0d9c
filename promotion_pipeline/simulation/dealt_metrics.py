"""What users did for the metrics that an experiment states, so that it can be dealt to the variants with them.

The increments are those of `rollups/metrics/difference.sql`: a user's value and denominator after a row and before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.config import MetricConfig, MetricKind
from promotion_pipeline.simulation.users import Floats, Ints, Runs


@dataclass(frozen=True)
class MetricLog:
    """Rows of users and hours, arrays (rows,), with what each adds to the sums of its variant."""

    user: Ints
    hour: Ints
    adds: dict[str, Floats]

    def dealt(self, arm: Ints, hours: int, cells: int) -> dict[str, Floats]:
        """The sums by cell, (arm, hour), where each user has an arm."""
        cell = arm[self.user] * hours + self.hour
        sums = {name: np.bincount(cell, weights=adds, minlength=cells) for name, adds in self.adds.items()}
        return {name: np.asarray(values, dtype=np.float64) for name, values in sums.items()}


@dataclass(frozen=True)
class Did:
    """What users did for one metric: rows in any order, one a user and hour."""

    user: Ints
    hour: Ints
    value: Floats
    number: Floats
    squares: Floats


def metric_logs(
    metrics: tuple[MetricConfig, ...],
    did: Mapping[str, Did],
    past: Mapping[str, Floats],
    first_hour: Ints,
) -> dict[str, MetricLog]:
    """Every metric of users and requests, by its name.

    Args:
        did: by metric; a ratio has none of its own.
        past: of each user, by metric: value or number in the days before, as the metric counts it.
        first_hour: of each user.
    """
    by_name = {metric.name: metric for metric in metrics}
    return {metric.name: _metric_log(metric, by_name, did, past.get(metric.name), first_hour) for metric in metrics}


def _metric_log(
    metric: MetricConfig,
    by_name: Mapping[str, MetricConfig],
    did: Mapping[str, Did],
    past: Floats | None,
    first_hour: Ints,
) -> MetricLog:
    is_ratio = metric.kind is MetricKind.RATIO
    above = by_name[metric.numerator] if is_ratio and metric.numerator else metric
    below = by_name[metric.denominator] if is_ratio and metric.denominator else None
    rows = _side_by_side(did.get(above.name), None if below is None else did.get(below.name))
    user, hour = (rows[name].to_numpy(dtype=np.int64) for name in ("user", "hour"))
    runs = Runs.of(user)
    shares = {name: rows[name].to_numpy(dtype=np.float64) for name in rows.columns if name not in ("user", "hour")}
    y0, y = _levels(above, runs, shares["value"], shares["number"])
    d0, d = np.zeros(len(user)), np.zeros(len(user))
    if below is not None:
        d0, d = _levels(below, runs, shares["below_value"], shares["below_number"])
    elif metric.kind is MetricKind.REQUEST_MEAN:
        d0 = runs.before(shares["number"])
        d = d0 + shares["number"]
    of_requests = 1.0 if metric.kind is MetricKind.REQUEST_MEAN else 0.0
    x = np.zeros(len(first_hour)) if past is None else past
    adds = {
        "samples": shares["number"],
        "new_users": np.zeros(len(user)),
        "requests": of_requests * shares["number"],
        "value_sum": y - y0,
        "value_sum_squares": of_requests * shares["squares"],
        "user_value_sum_squares": y * y - y0 * y0,
        "denominator_sum": d - d0,
        "user_denominator_sum_squares": d * d - d0 * d0,
        "user_value_denominator_sum_products": y * d - y0 * d0,
        "covariate_sum": np.zeros(len(user)),
        "covariate_sum_squares": np.zeros(len(user)),
        "user_value_covariate_sum_products": (y - y0) * x[user],
    }
    met = {"new_users": np.ones(len(x)), "covariate_sum": x, "covariate_sum_squares": x * x}
    return MetricLog(
        user=np.concatenate([user, np.arange(len(first_hour))]),
        hour=np.concatenate([hour, first_hour]),
        adds={name: np.concatenate([own, met.get(name, np.zeros(len(x)))]) for name, own in adds.items()},
    )


def _side_by_side(above: Did | None, below: Did | None) -> pd.DataFrame:
    """The rows of both parts of a ratio, in order of user and hour; 0 where only the other did something."""
    frames = []
    for part, names in ((above, ("value", "number", "squares")), (below, ("below_value", "below_number", None))):
        if part is None:
            continue
        values: dict[str, NDArray[np.generic]] = {"user": part.user, "hour": part.hour}
        values |= {
            name: getattr(part, of) for name, of in zip(names, ("value", "number", "squares"), strict=True) if name
        }
        frames.append(pd.DataFrame(values))
    columns = ["value", "number", "squares", "below_value", "below_number"]
    if not frames:
        return pd.DataFrame({name: np.empty(0) for name in ("user", "hour", *columns)})
    whole = pd.concat(frames, ignore_index=True).reindex(columns=["user", "hour", *columns]).fillna(0.0)
    return whole.groupby(["user", "hour"], as_index=False, sort=True).sum()


def _levels(metric: MetricConfig, runs: Runs, value: Floats, number: Floats) -> tuple[Floats, Floats]:
    """A user's value before and after each row, as the metric counts it."""
    share = number if metric.kind in (MetricKind.USER_PROPORTION, MetricKind.USER_COUNT) else value
    before = runs.before(share)
    return counted(metric, before), counted(metric, before + share)


def counted(metric: MetricConfig, total: Floats) -> Floats:
    """A user's total as the metric counts it: some or none, or up to the cap."""
    if metric.kind is MetricKind.USER_PROPORTION:
        return np.asarray(total > 0, dtype=np.float64)
    if metric.cap is None or metric.kind is MetricKind.REQUEST_MEAN:
        return total
    return np.minimum(total, metric.cap)
