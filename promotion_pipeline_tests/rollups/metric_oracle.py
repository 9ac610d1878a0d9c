"""The sums of metrics made from the raw rows in another way than the product's: all users at once, in pandas."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from promotion_pipeline.config.choices import MetricKind
from promotion_pipeline.config.metrics import MetricConfig, parse_metrics
from promotion_pipeline.store.database import Connection

KEYS = ["hour", "phase_id", "variant_id", "metric"]
SUMS = [
    "new_users",
    "requests",
    "value_sum",
    "value_sum_squares",
    "user_value_sum_squares",
    "denominator_sum",
    "user_denominator_sum_squares",
    "user_value_denominator_sum_products",
    "covariate_sum",
    "covariate_sum_squares",
    "user_value_covariate_sum_products",
]
COUNTS = ("new_users", "requests")


def raw_metric_sums(connection: Connection, experiment_id: UUID) -> pd.DataFrame:
    """Sums of every hour, phase, variant and metric of an experiment that changed any, index KEYS, columns SUMS."""
    config = _row(connection, "SELECT promotion_config AS c FROM ab_experiments WHERE id = %s", experiment_id)["c"]
    metrics = parse_metrics(config["metrics"])
    requests = _frame(
        connection,
        "SELECT variant_id::text, user_id, created_at, converted::integer::float8 AS converted,"
        " is_error::integer::float8 AS is_error, latency_ms, value::float8 FROM ai_requests WHERE experiment_id = %s",
        experiment_id,
    )
    events = _frame(
        connection, "SELECT experiment_id::text, user_id, created_at, name, value::float8 FROM ai_events", None
    )
    phases = connection.execute(
        "SELECT id::text, started_at, coalesce(ended_at, '2200-01-01Z') AS ended_at FROM ab_experiment_phases"
        " WHERE experiment_id = %s",
        [experiment_id],
    ).fetchall()
    parts = [
        _Phase(phase["id"], phase["started_at"], phase["ended_at"], requests, events, str(experiment_id), metrics)
        for phase in sorted(phases, key=lambda phase: phase["started_at"])
    ]
    for number, part in enumerate(parts):
        part.earlier = parts[:number]
    found = pd.concat([part.sums() for part in parts])
    return found[(found.abs() > 1e-9).any(axis=1)].sort_index()


class _Phase:
    def __init__(
        self,
        phase_id: str,
        start: Any,
        end: Any,
        requests: pd.DataFrame,
        events: pd.DataFrame,
        experiment_id: str,
        metrics: tuple[MetricConfig, ...],
    ) -> None:
        self.id, self.metrics = phase_id, {metric.name: metric for metric in metrics}
        self.all_requests, self.all_events = requests, events
        self.requests = requests[(requests["created_at"] >= start) & (requests["created_at"] < end)]
        known = self.requests[self.requests["user_id"].notna()].sort_values(["created_at", "variant_id"])
        self.users = known.groupby("user_id")[["variant_id", "created_at"]].first()
        own = events[(events["experiment_id"] == experiment_id) & (events["created_at"] < end)]
        first = own["user_id"].map(self.users["created_at"])
        self.events = own[own["created_at"] >= first]
        self.start = start
        self.earlier: list[_Phase] = []

    def sums(self) -> pd.DataFrame:
        """The sums of every metric, index KEYS."""
        parts = [self._of(metric).assign(metric=name) for name, metric in self.metrics.items()]
        return pd.concat(parts).set_index(KEYS)

    def _of(self, metric: MetricConfig) -> pd.DataFrame:
        if metric.kind is MetricKind.REQUEST_MEAN:
            return self._request_mean(metric)
        above = self._levels(self.metrics[metric.numerator or metric.name])
        below = self._levels(self.metrics[metric.denominator]) if metric.denominator else above.iloc[:0]
        both = pd.DataFrame({"y": above, "d": below}).sort_index()
        both = both.groupby(level="user_id").ffill().fillna(0.0)
        before = both.groupby(level="user_id").shift().fillna(0.0)
        past = self._past(metric).reindex(both.index.get_level_values("user_id")).fillna(0.0).to_numpy()
        grown = _grown(both["y"], both["d"], before["y"], before["d"])
        grown["user_value_covariate_sum_products"] = (both["y"] - before["y"]) * past
        grown = grown.reset_index().assign(variant_id=lambda rows: rows["user_id"].map(self.users["variant_id"]))
        return (
            pd.concat([self._sum(grown.drop(columns="user_id")), self._people(metric)])
            .groupby(["hour", "phase_id", "variant_id"], as_index=False)
            .sum()
        )

    def _people(self, metric: MetricConfig) -> pd.DataFrame:
        past = self._past(metric).reindex(self.users.index).fillna(0.0)
        rows = pd.DataFrame(
            {
                "hour": self.users["created_at"].dt.floor("h"),
                "variant_id": self.users["variant_id"],
                "new_users": 1.0,
                "covariate_sum": past,
                "covariate_sum_squares": past**2,
            }
        )
        return self._sum(rows)

    def _sum(self, rows: pd.DataFrame) -> pd.DataFrame:
        for name in SUMS:
            if name not in rows:
                rows[name] = 0.0
        return rows.groupby(["hour", "variant_id"])[SUMS].sum().reset_index().assign(phase_id=self.id)

    def _rows(self, metric: MetricConfig) -> pd.DataFrame:
        """What a user metric is made of: user_id, created_at, value, number."""
        if metric.event is not None:
            return _of_event(self.events, metric)
        return _of_column(self.requests, metric)

    def _levels(self, metric: MetricConfig) -> pd.Series[float]:
        """Each user's value at the end of each hour in which something happened, index (user_id, hour)."""
        rows = self._rows(metric)
        hourly = rows.groupby(["user_id", rows["created_at"].dt.floor("h").rename("hour")])[["value", "number"]].sum()
        totals = hourly.groupby(level="user_id").cumsum()
        return _level(metric, totals["value"], totals["number"])

    def _past(self, metric: MetricConfig) -> pd.Series[float]:
        if metric.covariate is None:
            return pd.Series(dtype=float)
        rows = _of_event(self.all_events, metric) if metric.event else _of_column(self.all_requests, metric)
        until = self.users["created_at"].copy()
        for phase in reversed(self.earlier):
            until[until.index.isin(phase.users.index)] = phase.start
        first = rows["user_id"].map(until)
        days = pd.Timedelta(days=metric.covariate_days)
        rows = rows[(rows["created_at"] < first) & (rows["created_at"] >= first - days)]
        totals = rows.groupby("user_id")[["value", "number"]].sum()
        return _level(metric, totals["value"], totals["number"])

    def _request_mean(self, metric: MetricConfig) -> pd.DataFrame:
        rows = self.requests[["created_at", "variant_id", "user_id"]].assign(v=self.requests[metric.column or ""])
        rows = rows[rows["v"].notna()]
        rows["v"] = rows["v"].clip(upper=metric.cap if metric.cap is not None else np.inf)
        rows["hour"] = rows["created_at"].dt.floor("h")
        # A request of nobody is a user of its own.
        rows["who"] = rows["user_id"].fillna(pd.Series(rows.index.astype(str), rows.index).radd("nobody "))
        mine = rows.assign(q=rows["v"] ** 2, n=1.0).groupby(["who", "variant_id", "hour"])[["v", "q", "n"]].sum()
        total = mine.groupby(level=["who", "variant_id"])[["v", "n"]].cumsum()
        grown = _grown(total["v"], total["n"], total["v"] - mine["v"], total["n"] - mine["n"])
        grown["requests"], grown["value_sum_squares"] = mine["n"], mine["q"]
        is_nobody = mine.index.get_level_values("who").str.startswith("nobody")
        grown["new_users"] = np.where(is_nobody | (total["n"] == mine["n"]), np.where(is_nobody, mine["n"], 1.0), 0.0)
        return self._sum(grown.reset_index())


def _grown(y: Any, d: Any, y0: Any, d0: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "value_sum": y - y0,
            "user_value_sum_squares": y * y - y0 * y0,
            "denominator_sum": d - d0,
            "user_denominator_sum_squares": d * d - d0 * d0,
            "user_value_denominator_sum_products": y * d - y0 * d0,
        }
    )


def _of_event(events: pd.DataFrame, metric: MetricConfig) -> pd.DataFrame:
    mine = events[events["name"] == metric.event]
    return mine[["user_id", "created_at"]].assign(value=mine["value"].fillna(0.0), number=1.0)


def _of_column(requests: pd.DataFrame, metric: MetricConfig) -> pd.DataFrame:
    values = requests[metric.column or ""]
    counted = values > 0 if metric.kind is not MetricKind.USER_MEAN else values.notna()
    return requests[["user_id", "created_at"]].assign(value=values.fillna(0.0), number=counted.astype(float))


def _level(metric: MetricConfig, value: pd.Series[float], number: pd.Series[float]) -> pd.Series[float]:
    if metric.kind is MetricKind.USER_PROPORTION:
        return (number > 0).astype(float)
    found = number if metric.kind is MetricKind.USER_COUNT else value
    return found if metric.cap is None else found.clip(upper=metric.cap)


def stored_metric_sums(connection: Connection, experiment_id: UUID) -> pd.DataFrame:
    """The same as the product stores it."""
    sums = ", ".join(f"{name}::float8" for name in SUMS)
    keys = "hour, phase_id::text, variant_id::text, metric"
    found = _frame(
        connection, f"SELECT {keys}, {sums} FROM hourly_metric_rollups WHERE experiment_id = %s", experiment_id
    ).set_index(KEYS)
    return found[(found.abs() > 1e-9).any(axis=1)].sort_index()


def assert_same_sums(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Counts exactly, the others within 1e-9 of the largest of their kind so far."""
    missing = expected.index.symmetric_difference(found.index)
    assert missing.empty, f"{len(missing)} hours differ, the first is {missing[0]}"
    for name in SUMS:
        ours, theirs = found[name].to_numpy(float), expected.loc[found.index, name].to_numpy(float)
        if name in COUNTS:
            assert (ours == theirs).all(), name
        else:
            # Of squares that grow by large steps and shrink again, a double keeps 15 digits of the largest.
            scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
            assert np.abs(ours - theirs).max(initial=0.0) <= 1e-9 * scale, name


def _frame(connection: Connection, query: str, parameter: object) -> pd.DataFrame:
    cursor = connection.execute(query, None if parameter is None else [parameter])
    rows = cursor.fetchall()
    frame = pd.DataFrame(rows, columns=[about.name for about in cursor.description or []])
    for name in ("created_at", "hour"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame


def _row(connection: Connection, query: str, parameter: object) -> dict[str, Any]:
    row = connection.execute(query, [parameter]).fetchone()
    assert row is not None
    return row
