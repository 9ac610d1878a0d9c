"""What the users of an experiment with stated metrics did, as the hourly run keeps it: read without their ids."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
import pandas as pd
from psycopg import sql

from promotion_pipeline.config import MetricConfig, MetricKind
from promotion_pipeline.errors import InputError
from promotion_pipeline.simulation import UserLog
from promotion_pipeline.simulation.dealt_metrics import Did, counted, metric_logs
from promotion_pipeline.store.bulk import read_frame, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

MOST_ROWS = 5_000_000
"""Of users and hours, and of users, hours and metrics."""


def log_with_metrics(
    store: Store, name: str, phase_id: UUID, metrics: tuple[MetricConfig, ...], start: datetime, end: datetime
) -> UserLog:
    """The users of a phase with what they did for its metrics, of the hours that were rolled up.

    Raises:
        InputError: nothing is rolled up, no user is known, or there is more than can be dealt.
        DependencyError: the database cannot be reached.
    """
    where = {"phase": sql.Literal(str(phase_id)), "end": time_literal(end)}
    found = int(read_frame(store, _SQL["rows"].format(**where))["found"].iloc[0])
    if not 0 < found <= MOST_ROWS:
        raise InputError(
            f"{name} has {found:,} rows of what users did in an hour, and 1 to {MOST_ROWS:,} can be dealt anew: let the"
            " hourly run sum it up, see that the log names users, or simulate by numbers"
        )
    rows = read_frame(store, _SQL["users"].format(**where))
    first = int(start.timestamp()) // 3600
    keys, user = np.unique(rows["user_key"].to_numpy(), return_inverse=True)
    hour = rows["hour_number"].to_numpy(dtype=np.int64) - first
    sums = {column: rows[column].to_numpy(dtype=np.float64) for column in ("requests", "conversions", "value")}
    log = UserLog.of(user, hour, sums)
    first_hour = np.full(len(keys), log.hours, dtype=np.int64)
    np.minimum.at(first_hour, user, hour)
    did = read_frame(store, _SQL["metrics"].format(**where))
    number = np.searchsorted(keys, did["user_key"].to_numpy())
    number = np.minimum(number, len(keys) - 1)
    did = did.assign(user=number)[keys[number] == did["user_key"].to_numpy()]
    is_past = did["hour_number"].isna()
    since = did[~is_past].assign(hour=lambda rows: rows["hour_number"].astype("int64") - first)
    since = since[since["hour"].between(0, log.hours - 1)]
    parts = {str(metric): _did(part) for metric, part in since.groupby("metric", observed=True)}
    pasts = {
        metric.name: _past(metric, did[is_past & (did["metric"] == metric.name)], len(keys))
        for metric in metrics
        if metric.covariate is not None
    }
    return replace(log, metrics=metric_logs(metrics, parts, pasts, first_hour))


def _did(rows: pd.DataFrame) -> Did:
    numbers = (rows[name].to_numpy(dtype=np.float64) for name in ("value", "number", "squares"))
    return Did(rows["user"].to_numpy(dtype=np.int64), rows["hour"].to_numpy(dtype=np.int64), *numbers)


def _past(metric: MetricConfig, rows: pd.DataFrame, users: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    by_number = metric.kind in (MetricKind.USER_PROPORTION, MetricKind.USER_COUNT)
    total = np.zeros(users)
    np.add.at(total, rows["user"].to_numpy(), rows["number" if by_number else "value"].to_numpy(dtype=np.float64))
    return counted(metric, total)
