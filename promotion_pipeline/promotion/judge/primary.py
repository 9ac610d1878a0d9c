"""The primary metric of an experiment: what it is called, what it is counted in, and what it is in each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from promotion_pipeline.config import PrimaryMetric, PromotionConfig
from promotion_pipeline.evaluation import Reason

UNITS = {
    PrimaryMetric.CONVERSION: "conversions a request",
    PrimaryMetric.VALUE_MEAN: "value a request",
    PrimaryMetric.VALUE_PER_USER: "value a user",
}
"""What a number of it counts."""


def primary_of(config: PromotionConfig | None) -> dict[str, Any]:
    """Name, unit and direction, as they are answered; nothing where the thresholds are not valid."""
    if config is None:
        return {}
    metric = config.primary_metric
    return {
        "primary_metric": metric.value,
        "primary_unit": UNITS[metric],
        "primary_direction": config.direction.value,
    }


def primary_estimate(
    row: Mapping[str, Any], config: PromotionConfig | None, reasons: Sequence[str] = ()
) -> float | None:
    """What it is in one variant, of a row of `Evaluation.metrics`; None where it could not be measured.

    Args:
        reasons: codes of the decision's reasons.
    """
    if config is None:
        return None
    match config.primary_metric:
        case PrimaryMetric.CONVERSION:
            return _number(row, "conversion_rate")
        case PrimaryMetric.VALUE_MEAN:
            return _number(row, "mean_value")
        case PrimaryMetric.VALUE_PER_USER:
            # The engine leaves it out where a request has no user, and so do we.
            if Reason.METRIC_MISSING in reasons:
                return None
            mean, requests, users = (_number(row, name) for name in ("mean_value", "requests", "users"))
            return None if mean is None or requests is None or not users else mean * requests / users
        case _ as never:
            assert_never(never)


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return None if value is None else float(value)
