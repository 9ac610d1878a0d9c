"""What a row of `metric_results` says, in a few words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, assert_never

from promotion_pipeline.config import MetricKind
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.text.numbers import count_text, rate_text, setting_text


def metric_message(row: Mapping[str, Any]) -> str:
    """A row's verdict, and where there is none why it could not be measured."""
    reason = MetricReason(row["reason"])
    said = _said(row) if reason in (MetricReason.MEASURED, MetricReason.NO_BASE) else _unmeasured(row, reason)
    if row["guardrail"] is not None:
        verdict = GuardrailVerdict(row["guardrail"])
        said = f"{verdict.value.replace('_', ' ')}: {_guarded(row, verdict, reason)}"
    if row.get("unusable_values"):
        said += f" ({count_text(row['unusable_values'])} values of its events cannot be used and are left out)"
    if row["is_adjusted"] and row["variance_reduction"] is not None:
        said += f" (users' past takes out {rate_text(row['variance_reduction'], 0)} of the variance)"
    return said


def _said(row: Mapping[str, Any]) -> str:
    match MetricOutcome(row["outcome"]):
        case MetricOutcome.BETTER:
            return "better than control"
        case MetricOutcome.WORSE:
            return "worse than control"
        case MetricOutcome.NO_SIGN:
            return "neither better nor worse is shown yet"
        case MetricOutcome.NOT_MEASURED:
            return "not measured"
        case _ as never:
            assert_never(never)


def _guarded(row: Mapping[str, Any], verdict: GuardrailVerdict, reason: MetricReason) -> str:
    margin = row["margin_percent"]
    match verdict:
        case GuardrailVerdict.KEPT if margin is None:
            return "no sign that it is worse"
        case GuardrailVerdict.KEPT:
            return f"shown to be less than {setting_text(margin)} worse"
        case GuardrailVerdict.NOT_KEPT if margin is None:
            return "shown to be worse"
        case GuardrailVerdict.NOT_KEPT:
            return _beyond(row, margin)
        case GuardrailVerdict.NOT_MEASURED:
            return _unmeasured(row, reason)
        case _ as never:
            assert_never(never)


def _beyond(row: Mapping[str, Any], margin: float) -> str:
    """Of a guardrail with a margin that is not kept: whether harm is shown, or harmlessness only not shown yet."""
    if MetricOutcome(row["outcome"]) is not MetricOutcome.WORSE:
        return f"not shown to be less than {setting_text(margin)} worse"
    ends = [row["always_valid_lower"], row["always_valid_upper"]]
    if None not in ends and min(abs(end) for end in ends) * 100 > margin:
        return f"shown to be more than {setting_text(margin)} worse"
    return f"shown to be worse, and not shown to be by less than {setting_text(margin)}"


def _unmeasured(row: Mapping[str, Any], reason: MetricReason) -> str:
    """Why this row's metric could not be measured: a reason can have several causes, which its numbers tell apart."""
    of_arm = {"control": row.get("control_sample"), "the treatment": row.get("sample")}
    is_ratio = row.get("kind") == MetricKind.RATIO
    empty = [arm for arm, sample in of_arm.items() if sample == 0]
    match reason:
        case MetricReason.NO_ROWS if len(empty) == 1:
            return f"{empty[0]} has no user or request that it could be measured on; check the assignment"
        case MetricReason.UNMATCHED if is_ratio:
            return "nothing matches what it is divided by, or neither part; compare both metrics with what is sent"
        case MetricReason.NOT_A_NUMBER if is_ratio:
            estimates = {"control": row.get("control_estimate"), "the treatment": row.get("estimate")}
            without = " and ".join(arm for arm, estimate in estimates.items() if _is_missing(estimate))
            where = f" of {without}" if without else ""
            return f"what it is divided by is 0{where}, or a sum is no number; compare both metrics with what is sent"
        case MetricReason.TOO_FEW if all((sample or 0) > 1 for sample in of_arm.values()):
            if is_ratio:
                return "what it is divided by is about 0 in sum, or nearly all of one user: no quotient can be tested"
            return "nearly all of an arm is one user or request: nothing can be tested by the others"
        case _:
            return why_not(reason)


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def why_not(reason: MetricReason) -> str:
    """Why a metric could not be measured, and what to do about it."""
    sentences = {
        MetricReason.MEASURED: "nothing can be tested at so small a sample",
        MetricReason.NO_ROWS: "nothing is kept of it yet; the next hourly run sums it up",
        MetricReason.UNMATCHED: "no event or value matches it; compare its `event` or `column` with what is sent",
        MetricReason.EVENTS_UNREADABLE: (
            "the table ai_events cannot be read: it is missing, renamed or of other types, or needs GRANT SELECT ON"
            " ai_events to the role of this product; promotion-pipeline doctor says which"
        ),
        MetricReason.NEEDS_USERS: "it is made of users and the log knows none; log a user_id",
        MetricReason.TOO_FEW: "too few users or requests in one of the two arms",
        MetricReason.NO_VARIATION: "within each arm everybody has the same value: no variance to test a difference by",
        MetricReason.NO_BASE: "control's mean is 0, and a share of nothing is no margin; leave out margin_percent",
        MetricReason.NOT_A_NUMBER: "a sum is no number or contradicts the others; correct the values, or state a cap",
    }
    return sentences[reason]
