"""What a row of `metric_results` says, in a few words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.text.numbers import count_text, rate_text, setting_text


def metric_message(row: Mapping[str, Any]) -> str:
    """A row's verdict, and where there is none why it could not be measured."""
    reason = MetricReason(row["reason"])
    said = _said(row) if reason in (MetricReason.MEASURED, MetricReason.NO_BASE) else why_not(reason)
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
            return why_not(reason)
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
        MetricReason.NO_VARIATION: "everybody of an arm has the same value",
        MetricReason.NO_BASE: "control's mean is 0, and a share of nothing is no margin; leave out margin_percent",
        MetricReason.NOT_A_NUMBER: "a sum is no number or contradicts the others; correct the values, or state a cap",
    }
    return sentences[reason]
