"""Every kind of metric has a class that says what it is, how it is tested and how it is watched."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import pytest

from promotion_pipeline.config import PrimaryMetric, PromotionConfig
from promotion_pipeline.evaluation.metrics import kind_of
from promotion_pipeline.promotion.watch.rules import Sums, WatchMetric, judge_window

SERVED = Sums(requests=1000, matured_requests=1000, conversions=50, value_sum=500.0, value_sum_squares=400.0)


class Unwritten(StrEnum):
    """A kind that somebody declared and nobody wrote a class for."""

    MEDIAN = "value_median"


@pytest.mark.parametrize("metric", PrimaryMetric)
def test_every_kind_is_watched_as_a_metric_that_the_watch_knows(metric: PrimaryMetric) -> None:
    checks = judge_window("step", SERVED, SERVED, Sums(), PromotionConfig(primary_metric=metric))
    assert checks[-1].metric is WatchMetric(kind_of(metric).watched_as)
    assert checks[-1].observed == kind_of(metric).watched_total(SERVED) / 1000


def test_a_kind_without_a_class_fails_loudly() -> None:
    with pytest.raises(AssertionError, match="value_median"):
        kind_of(cast(Any, Unwritten.MEDIAN))


def test_a_kind_without_a_class_is_not_watched_as_something_else() -> None:
    config = PromotionConfig.model_construct(primary_metric=cast(Any, Unwritten.MEDIAN))
    with pytest.raises(AssertionError, match="value_median"):
        judge_window("step", SERVED, SERVED, Sums(), config)
