"""What people read of a metric's result."""

from __future__ import annotations

import pytest

from promotion_pipeline.evaluation.codes import MetricReason
from promotion_pipeline.evaluation.metric_words import metric_message


@pytest.mark.parametrize(
    ("outcome", "interval", "said"),
    [
        ("no_sign", (-0.02, 0.09), "not kept: not shown to be less than 5 % worse"),
        ("worse", (0.02, 0.09), "not kept: shown to be worse, and not shown to be by less than 5 %"),
        ("worse", (0.114, 0.163), "not kept: shown to be more than 5 % worse"),
        ("worse", (-0.163, -0.114), "not kept: shown to be more than 5 % worse"),
    ],
)
def test_a_guardrail_with_a_margin_says_whether_harm_is_shown(
    outcome: str, interval: tuple[float, float], said: str
) -> None:
    row = {
        "reason": MetricReason.MEASURED.value,
        "outcome": outcome,
        "guardrail": "not_kept",
        "margin_percent": 5.0,
        "always_valid_lower": interval[0],
        "always_valid_upper": interval[1],
        "is_adjusted": False,
        "variance_reduction": None,
    }
    assert metric_message(row) == said
