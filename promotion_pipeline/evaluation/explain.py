"""Codes to sentences: what a person or a notification reads of one decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import pandas as pd

from promotion_pipeline.evaluation.codes import Reason, Verdict, Warn
from promotion_pipeline.text.numbers import (
    confidence_text,
    count_text,
    instant_text,
    milliseconds_text,
    p_sentence,
    percent_text,
    rate_text,
    setting_text,
)


@dataclass(frozen=True)
class Check:
    """One contract check: passed or not, with both numbers; `observed` is None where it could not be measured."""

    name: str
    passed: bool
    observed: float | None
    threshold: float
    unit: str
    message: str


@dataclass(frozen=True)
class Explanation:
    """A decision in words."""

    summary: str
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    """What the numbers say besides; nothing hangs on it."""


@dataclass(frozen=True)
class _Rule:
    """Where a check finds its numbers in a decision's row, and how it words them."""

    observed: str
    threshold: str
    unit: str
    what: str
    sign: str
    scale: float = 1.0


_RULES = {
    Reason.MIN_SAMPLE_SIZE: _Rule("sample_size", "min_sample_size_threshold", "requests", "smaller arm", ">="),
    Reason.MIN_CONFIDENCE: _Rule("confidence", "min_confidence_threshold", "%", "confidence", ">="),
    Reason.MIN_IMPROVEMENT: _Rule("improvement", "min_improvement_threshold", "%", "improvement over control", ">="),
    Reason.MIN_RUNTIME: _Rule("runtime_hours", "min_runtime_threshold", "hours", "runtime", ">="),
    Reason.ERROR_RATE_ACCEPTABLE: _Rule(
        "error_rate", "error_rate_threshold", "fraction", "error rate of the candidate", "<="
    ),
}


def explain(decision: Mapping[str, Any] | pd.Series, log: str = "the log") -> Explanation:
    """Word one row of `Evaluation.decisions`; `log` is what the log of the requests is called."""
    row: dict[str, Any] = {str(name): value for name, value in decision.items()}
    reasons = tuple(Reason(code) for code in row["reasons"])
    warnings = tuple(Warn(code) for code in row["warnings"])
    return Explanation(
        summary=_summary(row, Verdict(row["verdict"])),
        checks=tuple(_check(row, reason, rule) for reason, rule in _RULES.items()),
        reasons=tuple(_reason(row, reason, log) for reason in reasons),
        warnings=tuple(_warning(row, warning) for warning in warnings),
        notes=tuple(note for note in (_shrunken(row), _planned(row)) if note is not None),
    )


def _shrunken(row: Mapping[str, Any]) -> str | None:
    """The winner's curse, said where the candidate seems to lead."""
    lift, prior = _number(row.get("shrunken_lift")), _number(row.get("lift_prior_sd"))
    seen = _number(row.get("improvement"))
    if lift is None or prior is None or seen is None or seen <= 0:
        return None
    return (
        f"expected to be about {rate_text(lift, 1, signed=True)} after shrinkage, where true lifts are usually within"
        f" {setting_text(prior * 100)} of 0: what was picked for its lift looks better than it is"
    )


def _planned(row: Mapping[str, Any]) -> str | None:
    """The group-sequential look of an experiment that states its planned size."""
    planned, fraction, z, boundary = (
        _number(row.get(name))
        for name in ("planned_sample_size", "information_fraction", "group_sequential_z", "group_sequential_boundary_z")
    )
    if planned is None or fraction is None:
        return None
    seen = f"{rate_text(fraction, 0)} of the planned {count_text(planned)} requests are there"
    if boundary is None and fraction >= 1:
        return f"{seen}, and more: looks past the plan have no error left to spend"
    if z is None or boundary is None:
        return f"{seen}; nothing can be tested yet"
    relation = "reaches" if z >= boundary else "is short of"
    return f"{seen}; z {z:.2f} {relation} the group-sequential boundary {boundary:.2f}"


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) or math.isinf(value) else float(value)


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "requests":
        return f"{count_text(value)} requests"
    if unit == "hours":
        return f"{count_text(max(value, 0.0), 1)} hours"
    return rate_text(value) if unit == "fraction" else percent_text(value)


def _check(row: Mapping[str, Any], reason: Reason, rule: _Rule) -> Check:
    observed, threshold = _number(row.get(rule.observed)), float(row[rule.threshold])
    if rule.unit == "hours" and observed is not None:
        # Before its start, or while no request has matured, a phase has not run for a negative time.
        observed = max(observed, 0.0)
    is_confidence = reason is Reason.MIN_CONFIDENCE
    observed_text, asked_text = (
        confidence_text(value) if is_confidence else _text(value, rule.unit) for value in (observed, threshold)
    )
    passed = bool(row[reason.value])
    relation = rule.sign if passed else ("<" if rule.sign == ">=" else ">")
    message = f"{rule.what} {observed_text} {relation} {asked_text}"
    if observed is None and reason is Reason.ERROR_RATE_ACCEPTABLE and (_number(row.get("sample_size")) or 0) > 0:
        message = (
            f"{rule.what} not measured, needed {rule.sign} {asked_text}: the log does not say which"
            " requests failed; map is_error, or map it to 'never' where nothing can fail"
        )
    elif observed is None:
        message = f"{rule.what} could not be measured; needed {rule.sign} {asked_text}"
    elif is_confidence and not passed and observed >= threshold:
        message = f"confidence {observed_text}, but the candidate is behind control"
    elif observed_text == asked_text and observed != threshold:
        seen, asked = _told_apart(observed, threshold)
        message = f"{rule.what} {seen} {relation} {asked}"
    if reason is Reason.MIN_RUNTIME:
        message += _measured_since(row)
    return Check(reason.value, passed, observed, threshold, rule.unit, message)


def _measured_since(row: Mapping[str, Any]) -> str:
    """Said where the phase is older than its requests: age in which nothing was measured is no runtime."""
    since = row.get("measured_since")
    if since is None or pd.isna(since):
        return ""
    begun = pd.Timestamp(since).tz_convert("UTC")
    return f", counted from {instant_text(begun)}: both arms had requests from then on"


def _told_apart(observed: float, threshold: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see which is larger; 99.99999 is not written as 100."""
    for digits in range(6, 17):
        texts = f"{observed:.{digits}g}", f"{threshold:.{digits}g}"
        rounded = any(
            text == "100" and number != 100 for text, number in zip(texts, (observed, threshold), strict=True)
        )
        if texts[0] != texts[1] and not rounded:
            return texts
    return repr(observed), repr(threshold)


def _summary(row: Mapping[str, Any], verdict: Verdict) -> str:
    name = row.get("candidate_variant_name")
    candidate = "the candidate" if name is None or pd.isna(name) else f"{name!r}"
    match verdict:
        case Verdict.ELIGIBLE if row["is_promotable"]:
            return f"{candidate} won: all five checks pass and the evidence for an unattended promotion is there"
        case Verdict.ELIGIBLE:
            return (
                f"{candidate} passes all five checks; an unattended promotion needs more evidence, a person may approve"
            )
        case Verdict.NOT_YET:
            return f"no decision yet; {candidate} is the nearest"
        case Verdict.REJECTED:
            is_behind = (_number(row.get("z")) or 0.0) < 0
            return f"enough data, and {candidate} {'is worse than control' if is_behind else 'does not qualify'}"
        case Verdict.INCONCLUSIVE:
            return "the data cannot be judged"
        case Verdict.ERROR:
            return "could not be evaluated: the input contradicts itself"
        case _ as never:
            assert_never(never)


def _reason(row: Mapping[str, Any], reason: Reason, log: str) -> str:
    if reason in _RULES:
        return _check(row, reason, _RULES[reason]).message
    if reason is Reason.ALL_CHECKS_PASSED:
        name, lead, sure = (row[key] for key in ("candidate_variant_name", "improvement", "confidence"))
        return f"All safety checks passed: {name} leads by {percent_text(lead)} at {confidence_text(sure)} confidence"
    control = _number(row.get("control_conversion_rate"))
    silent, alike = "control" if control is None else "every treatment", "everybody" if control == 1 else "nobody"
    sentences = {
        Reason.NOT_STARTED: "the experiment starts after this hour; wait for its start_date",
        Reason.NO_CONTROL: "no variant is marked as control; set is_control on one",
        Reason.NO_TREATMENT: "there is no treatment to compare control with; add a variant",
        Reason.SPLIT_NOT_100: "the traffic of the variants does not sum to 100 %; correct traffic_percentage",
        Reason.NO_ROWS: f"no request was seen in this phase; check that requests reach {log}",
        Reason.ZERO_REQUESTS: f"{silent} has no requests; check the assignment",
        Reason.NO_VARIATION: f"{alike} converted in both arms; there is nothing to compare",
        Reason.CONTROL_RATE_ZERO: "control has no conversion, so the lift is not computable; wait for one",
        Reason.METRIC_MISSING: "the primary metric cannot be computed; it needs `value`, and a user for value_per_user",
        Reason.SEVERAL_CONTROLS: "more than one variant is marked as control; leave is_control on one",
        Reason.COUNTS_IMPOSSIBLE: "a count is negative, or conversions or errors exceed requests; correct the source",
        Reason.NOT_A_NUMBER: "a sum or the start is missing, NaN or infinite; correct the source",
        Reason.UNKNOWN_VARIANT: "rollups name a variant that the experiment does not have; correct the source",
        Reason.INVALID_CONFIG: "the experiment's promotion_config or start_date is not valid; correct or clear it",
    }
    return sentences[reason]


def _p(row: Mapping[str, Any], name: str) -> str:
    """A p-value in words; one that is too small for a float is not 0."""
    return p_sentence(_number(row.get(name)))


def _both(row: Mapping[str, Any], name: str, shown: Callable[[float], str]) -> str:
    """The candidate's number and control's, where the row has both."""
    observed, control = _number(row.get(name)), _number(row.get(f"control_{name}"))
    return "" if observed is None or control is None else f": {shown(observed)}, control {shown(control)}"


def _warning(row: Mapping[str, Any], warning: Warn) -> str:
    match warning:
        case Warn.HIGHER_ERROR_RATE:
            return "the candidate has a higher error rate than control" + _both(row, "error_rate", rate_text)
        case Warn.HIGHER_LATENCY:
            return "the candidate's mean latency is 20 % or more above control's" + _both(
                row, "mean_latency_ms", milliseconds_text
            )
        case Warn.SMALL_SAMPLE:
            return f"small sample: {count_text(row['sample_size'])} requests in the smaller arm, under 1,000"
        case Warn.SAMPLE_RATIO_MISMATCH:
            return f"sample ratio mismatch ({_p(row, 'srm_p_value')}): the traffic is not split as declared"
        case Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH:
            found = _p(row, "sequential_srm_p_value")
            return f"sample ratio mismatch that repeated looks cannot explain ({found} over all looks at once)"
        case Warn.NOT_ALWAYS_VALID:
            return "passes the z-test at this look, but not the always-valid test: repeated looks could explain it"
        case Warn.REQUEST_LEVEL:
            return (
                "a user_id is known for less than 90 % of the requests: requests of one user are correlated, so the"
                " confidence is overstated"
            )
        case Warn.VARIANT_WITHOUT_REQUESTS:
            return "a variant that should get traffic has no request"
        case Warn.CORRECTED_COUNTS:
            return "an imported sum fell between two looks; the cumulative sums are what was measured"
        case Warn.MULTIPLE_EXPOSURE:
            return f"{_exposure(row)}; above 10 % of either nothing is promoted unattended"
        case Warn.LARGE_USER:
            share = _number(row.get("largest_user_share"))
            found = "more than 1 %" if share is None else f"up to {rate_text(share, 1)}"
            return (
                f"one user made {found} of an arm's requests: a placeholder for people who are not known, a bot or a"
                " shared device? Log no user_id where nobody is known, and leave bots out"
            )
        case Warn.GUARDRAIL:
            return "a guardrail of the experiment is not kept, or could not be measured"
        case _ as never:
            assert_never(never)


def _exposure(row: Mapping[str, Any]) -> str:
    """The larger of the shares of users and of requests, or both where the requests say more."""
    users, requests = _number(row.get("multiple_exposure")), _number(row.get("multiple_exposure_requests"))
    found = "more than 1 %" if users is None else rate_text(users, 1)
    if requests is None or users is None or requests <= users:
        return f"{found} of the users were served by several variants"
    found = found if users >= 0.001 else "under 0.1 %"
    return f"{found} of the users, who made {rate_text(requests, 1)} of the requests, were served by several variants"
