"""`evaluate`: rollups to metrics, significance and decisions of every experiment at every requested hour."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation.arms import arms_of
from promotion_pipeline.evaluation.compare import compare
from promotion_pipeline.evaluation.decide import decide
from promotion_pipeline.evaluation.found import BlockColumns, FoundColumns, columns_of, found_of
from promotion_pipeline.evaluation.frames import Evaluation, frames_of
from promotion_pipeline.evaluation.from_frames import experiment_rows, metric_sums, rollup_sums
from promotion_pipeline.evaluation.hours import requested_hours
from promotion_pipeline.evaluation.layout import Ints, Layout, build_layout
from promotion_pipeline.evaluation.metric_results import StatedMetrics, stated_metrics
from promotion_pipeline.evaluation.sums import Block, cumulate
from promotion_pipeline.evaluation.tables import ExperimentRows, HourlySums


def evaluate(
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    *,
    hours: object = None,
    config: PromotionConfig | None = None,
    metrics: pd.DataFrame | None = None,
) -> Evaluation:
    """Judge every experiment at every requested hour, in one pass without a loop over either.

    Args:
        rollups: additive sums, a row per (experiment_id, [phase_id,] variant_id, hour): requests, conversions,
            errors, and optionally latency_ms_sum, value_sum and the user sums of `hourly_variant_rollups`.
        experiments: a row per variant (and phase): experiment_id, name, variant_id, variant_name, is_control,
            traffic_percentage, started_at (of the phase); optionally phase_id, ended_at, and columns named as the
            thresholds of `PromotionConfig` that override `config`. Where they change over time: governs_from and
            governs_until, the as-of bounds (from, until] in which a row is in force; missing until: to this day.
        hours: UTC starts of the hours to decide on; default every hour from the first to the last rollup.
        config: thresholds where the experiment has none of its own.
        metrics: hourly sums of the metrics that experiments state (`PromotionConfig.metrics`, or a column `metrics` of
            the experiments frame), a row per (experiment_id, [phase_id,] variant_id, hour, metric) with the columns of
            `metric_sums.METRIC_SUMS` that its kind is made of; without it none of them is measured.

    Returns:
        The four frames. An experiment with several phases is judged on the phase that is current at the as-of (the
        end of the hour); one whose last phase has ended has no row after it.

    Raises:
        InputError: a column is missing, a time is naive or not the start of an hour, a variant is listed twice.

    Cost: O(rollup rows + experiments x hours x variants) time; memory beyond the result is one block of cells.
    """
    layout = build_layout(experiment_rows(experiments), config or PromotionConfig())
    sums = rollup_sums(rollups)
    blocks = cumulate(sums, layout, requested_hours(sums.hour_us, hours))
    # Once they are cumulated nobody needs them: they are let go before the blocks are made.
    del sums
    stated = metric_sums(metrics) if metrics is not None and layout.states_metrics else None
    return frames_of(_judged(blocks, layout, stated))


def look(
    rollups: HourlySums,
    experiments: ExperimentRows,
    *,
    hours_us: Ints,
    config: PromotionConfig | None = None,
    metrics: HourlySums | None = None,
) -> FoundColumns:
    """The same as `evaluate`, of arrays in arrays: for a few rows the frames would cost more than everything else.

    Args:
        hours_us: distinct starts of hours in their order, microseconds of UTC.

    Raises:
        InputError: an hour is not the start of one, a variant is listed twice.
    """
    layout = build_layout(experiments, config or PromotionConfig())
    return _judged(cumulate(rollups, layout, hours_us), layout, metrics)


def _judged(blocks: Iterator[Block], layout: Layout, metrics: HourlySums | None) -> FoundColumns:
    parts: list[BlockColumns] = []
    stated: StatedMetrics | None = None
    for block in blocks:
        if not parts:
            stated = stated_metrics(metrics, layout, block.hours_us)
        arms = arms_of(block)
        compared = compare(block, arms, stated)
        decided = decide(block, arms, compared)
        parts.append(columns_of(block, arms, compared, decided))
    return found_of(layout, parts, stated)
