"""The metrics that an experiment states, each with its own level and variance: what a plan by name is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pandas as pd

from promotion_pipeline.backtest.sources import from_store, metrics_from_store
from promotion_pipeline.config import Direction, MetricConfig, MetricKind, MetricRole, PromotionConfig
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.evaluation.codes import MetricReason
from promotion_pipeline.evaluation.metric_words import why_not
from promotion_pipeline.planning.question import Traffic
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

EVIDENCES_OF_GOALS = ("always_valid", "fixed_horizon")
"""Stated goals are decided by the always-valid test, whatever is planned; a single look is shown beside it."""


@dataclass(frozen=True)
class StatedMetric:
    """A goal or guardrail, as far as a plan can be made from what is kept of it."""

    metric: MetricConfig
    traffic: Traffic | None
    """The experiment's, with this metric's level and variance; None: it cannot be planned by them."""
    why_not: str = ""
    """Then why not."""

    @property
    def relative_variance(self) -> float | None:
        """Of one request, over the squared mean."""
        return None if self.traffic is None else self.traffic.relative_variance

    def rule(self, config: PromotionConfig) -> PromotionConfig:
        """The thresholds of a goal: min_improvement_percent is asked of the primary metric alone."""
        return config.model_copy(update={"direction": self.metric.direction, "min_improvement_percent": 0.0})


def stated_metrics_of(store: Store, name: str, traffic: Traffic, config: PromotionConfig) -> tuple[StatedMetric, ...]:
    """Goals, and guardrails with a margin, of an experiment's newest phase; none where it states none.

    The variance is that of the evaluation's own test against the treatment with the fewest requests: over users where
    the metric is of users, with the users' past taken out where there is one.

    Args:
        traffic: of the experiment.

    Raises:
        NotFoundError: no experiment is called so.
        DependencyError: the database cannot be reached.
    """
    wanted = [one for one in config.metrics if one.role is MetricRole.GOAL or one.margin_percent is not None]
    if not wanted:
        return ()
    rollups, experiments = from_store(store, [name])
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    hour = min(pd.Timestamp(end - timedelta(hours=1)), rollups["hour"].max())
    found = evaluate(rollups, experiments, hours=[hour], config=config, metrics=metrics_from_store(store, [name]))
    results, requests = found.metric_results, found.metrics.set_index("variant_id")["requests"].astype(float)
    return tuple(_stated(metric, results[results["metric"] == metric.name], requests, traffic) for metric in wanted)


def _stated(metric: MetricConfig, rows: pd.DataFrame, requests: pd.Series, traffic: Traffic) -> StatedMetric:
    if rows.empty:
        return StatedMetric(metric, None, why_not(MetricReason.NO_ROWS))
    fewest = int(rows["variant_id"].map(requests).to_numpy(dtype=float).argmin())
    row = rows.iloc[fewest]
    mean, error = float(row["control_estimate"]), float(row["standard_error"])
    reason = MetricReason(row["reason"])
    if reason is not MetricReason.MEASURED or not error > 0:
        return StatedMetric(metric, None, why_not(reason))
    if not mean > 0:
        return StatedMetric(metric, None, f"control's mean is {mean:g}, of which nothing is a share")
    arms = float(requests[row["control_variant_id"]]), float(requests[row["variant_id"]])
    pair, share = sum(arms), arms[1] / sum(arms)
    relative = pair * (error / mean) ** 2 * share * (1.0 - share)
    own = replace(traffic, mean=mean, is_proportion=False, relative_variance=relative, design_effect=1.0)
    return StatedMetric(metric, own)


def costliest(stated: tuple[StatedMetric, ...]) -> StatedMetric | None:
    """The guardrail that needs the most requests to be shown within its margin; None: of none is the variance known."""
    return max(_known_guardrails(stated), key=_cost, default=None)


def _known_guardrails(stated: tuple[StatedMetric, ...]) -> Iterator[StatedMetric]:
    return (one for one in stated if one.metric.margin_percent is not None and one.relative_variance is not None)


def _cost(guardrail: StatedMetric) -> float:
    assert guardrail.relative_variance is not None and guardrail.metric.margin_percent is not None
    return guardrail.relative_variance / guardrail.metric.margin_percent**2


def level_words(stated: StatedMetric) -> str:
    """What a goal is planned from, or why it is planned by the primary metric."""
    metric = stated.metric
    if stated.traffic is None:
        return f"goal {metric.name!r} is planned by the primary metric's rate and variance: {stated.why_not}"
    unit = "request" if metric.kind is MetricKind.REQUEST_MEAN else "" if metric.kind is MetricKind.RATIO else "user"
    of = f" a {unit}" if unit else ""
    way = ", less is better" if metric.direction is Direction.DECREASE else ""
    return f"goal {metric.name!r}: control has {stated.traffic.mean:,.4g}{of}{way}; planned by its own variance"
