"""What people read of a metric's result."""

from __future__ import annotations

import pytest

from promotion_pipeline.evaluation.codes import MetricReason
from promotion_pipeline.evaluation.metric_words import metric_message
from promotion_pipeline_tests.evaluation.stated import REVENUE, judged, metric_rows, of_users, result


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


EACH = ("control", "variant-a")
PARTS = [{**REVENUE, "role": "secondary"}, {**REVENUE, "name": "orders", "kind": "user_count", "role": "secondary"}]
BASKET = {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "orders", "role": "secondary"}


def ratio_arm(denominator: float, denominator_squares: float) -> dict[str, float]:
    """The sums of a ratio over 1,500 users who are worth 10 each."""
    divided = {"denominator_sum": denominator, "user_denominator_sum_squares": denominator_squares}
    return of_users(1_500, 10.0) | divided | {"user_value_denominator_sum_products": 10.0 * denominator}


@pytest.mark.parametrize(
    ("metric", "arms", "said"),
    [
        (REVENUE, [of_users(500, 1.0, 0.0), of_users(500, 2.0, 0.0)], "within each arm everybody has the same value"),
        (REVENUE, [of_users(500, 1.0), of_users(0, 0.0, 0.0)], "the treatment has no user or request"),
        (REVENUE, [of_users(0, 0.0, 0.0), of_users(500, 1.0)], "control has no user or request"),
        (REVENUE, [of_users(1, 1.0), of_users(500, 1.0)], "too few users or requests"),
        (BASKET, [ratio_arm(0, 0)] * 2, "nothing matches what it is divided by"),
        (BASKET, [ratio_arm(0, 0), ratio_arm(900, 1_200)], "what it is divided by is 0 of control"),
        (BASKET, [ratio_arm(0.5, 1_500.0)] * 2, "what it is divided by is about 0 in sum"),
    ],
)
def test_what_could_not_be_measured_says_the_cause_that_it_has(
    metric: dict[str, str], arms: list[dict[str, float]], said: str
) -> None:
    stated = [*PARTS, metric] if metric is BASKET else [metric]
    row = result(judged(stated, metric_rows(metric["name"], dict(zip(EACH, arms, strict=True)))), metric["name"])
    known = row.astype(object).where(row.notna(), None)
    assert said in metric_message({str(name): value for name, value in known.items()})
