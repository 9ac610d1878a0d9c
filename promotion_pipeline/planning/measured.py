"""The traffic of an experiment that runs or ran: what a plan is made from instead of given numbers."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

import numpy as np

from promotion_pipeline.backtest.sources import from_store
from promotion_pipeline.config import PrimaryMetric, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.arms import Arms, arms_of
from promotion_pipeline.evaluation.from_frames import experiment_rows, rollup_sums
from promotion_pipeline.evaluation.hours import HOUR_US, requested_hours
from promotion_pipeline.evaluation.layout import Bools, build_layout
from promotion_pipeline.evaluation.sums import Block, cumulate
from promotion_pipeline.planning.question import Traffic
from promotion_pipeline.promotion.record.experiments import Experiment, experiments_named, thresholds_of
from promotion_pipeline.rollups import Span, open_log
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

FEWEST_CONVERSIONS = 20
"""In all arms together: fewer say little about the rate."""


def measured_traffic(
    store: Store, name: str, request: PromotionConfig | None = None
) -> tuple[Traffic, PromotionConfig]:
    """The traffic of an experiment's newest phase so far, and the thresholds that it is judged with.

    Rate, variance and users are those of the evaluation: user-level wherever users are known.

    Raises:
        NotFoundError: no experiment is called so.
        InputError: it has no traffic yet, or nothing that could be compared.
        ConfigError: its own thresholds are not valid.
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        (experiment,) = experiments_named(connection, [name])
        end = newest_complete_hour(connection)
    config = thresholds_of(store.settings, experiment, request).used
    rollups, experiments = from_store(store, [name])
    if rollups.empty or experiments.empty:
        _refuse_what_is_not_summed_up(store, experiment, end)
        raise InputError(_nothing(name, "has no traffic yet"))
    layout = build_layout(experiment_rows(experiments), config)
    newest = int(np.argmax(layout.governs_from_us))
    hours_us = requested_hours(np.empty(0, dtype=np.int64), [end - timedelta(hours=1)])
    (block,) = cumulate(rollup_sums(rollups), layout.of(slice(newest, newest + 1)), hours_us)
    return _traffic(name, block, arms_of(block), config), config


def _refuse_what_is_not_summed_up(store: Store, experiment: Experiment, end: datetime) -> None:
    start = experiment.phase_started_at
    if start is None or start >= end or experiment.rollup_source == "imported":
        return
    since = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with open_log(store) as log:
        requests = log.counts([Span("all", experiment.id, since, end)])["all"]
    if requests:
        raise InputError(
            f"{experiment.name} has {requests:,} requests that are not summed up yet: promotion-pipeline evaluate"
            f" --from {since:%Y-%m-%dT%H:00Z} --experiment {shlex.quote(experiment.name)} --roll-up, or"
            " promotion-pipeline auto-check, or wait for the hourly run"
        )


def _traffic(name: str, block: Block, arms: Arms, config: PromotionConfig) -> Traffic:
    exists = block.layout.exists[:, 0]
    requests = arms.requests[exists, 0, 0]
    if exists.sum() < 2 or not exists[0] or not (requests > 0).all():
        raise InputError(_nothing(name, "has a variant without traffic since its phase began"))
    mean, variance = arms.primary.mean[exists, 0, 0], arms.primary.variance[exists, 0, 0]
    total = arms.primary.total[exists, 0, 0]
    level, is_rate = float(mean[0]), config.primary_metric is PrimaryMetric.CONVERSION
    if is_rate and total.sum() < FEWEST_CONVERSIONS:
        raise InputError(_nothing(name, f"has {total.sum():,.0f} conversions, which say little about its rate"))
    # Relative to independent requests where that is known; a value has the variance that was seen.
    relative = variance * requests / (mean * mean)
    independent = (1.0 - mean) / mean if is_rate else np.ones_like(mean)
    effect = float(np.average(relative / independent, weights=requests))
    users = float(arms.users[exists, 0, 0].sum())
    return Traffic(
        mean=level,
        requests_per_day=float(requests.sum()) / _days(block, exists),
        shares=tuple(float(share) for share in requests / requests.sum()),
        is_proportion=is_rate,
        relative_variance=None if is_rate else effect,
        requests_per_user=max(1.0, float(requests.sum()) / users) if users else None,
        design_effect=max(1.0, effect) if is_rate else 1.0,
        conversion_rate=float(arms.conversions[0, 0, 0] / requests[0]),
        source=f"{requests.sum():,.0f} requests of {name}",
    )


def _days(block: Block, exists: Bools) -> float:
    """Days with traffic, of those that are old enough to be judged."""
    wait = int(np.ceil(float(block.limits.attribution_window_hours[0, 0]))) * HOUR_US
    first = max(int(block.first_hour_us[exists, 0].min()), int(block.layout.started_us[0]))
    return max(int(block.hours_us[0]) + HOUR_US - wait - first, HOUR_US) / (24 * HOUR_US)


def _nothing(name: str, what: str) -> str:
    return (
        f"{name} {what}: let it run for a day, or give the numbers of the past, for example --rate 0.05"
        " --requests-per-day 20000"
    )
