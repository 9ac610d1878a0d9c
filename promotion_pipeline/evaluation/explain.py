"""Codes to sentences: what a person or a notification reads of one decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import pandas as pd

from promotion_pipeline.config.thresholds import Unit
from promotion_pipeline.evaluation.codes import Reason, Verdict, Warn
from promotion_pipeline.evaluation.contract import CHECKS, CHECKS_IN_WORDS, CONTRACT, ContractCheck
from promotion_pipeline.text.numbers import (
    confidence_text,
    count_text,
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


def explain(decision: Mapping[str, Any] | pd.Series, log: str = "the log") -> Explanation:
    """Word one row of `Evaluation.decisions`; `log` is what the log of the requests is called."""
    row: dict[str, Any] = {str(name): value for name, value in decision.items()}
    warnings = tuple(Warn(code) for code in row["warnings"])
    return Explanation(
        summary=_summary(row, Verdict(row["verdict"]), log),
        # A decision that was recorded before a check was added says nothing of it.
        checks=tuple(_check(row, check) for check in CONTRACT if check.name in row),
        reasons=tuple(_reason(row, code, log) for code in row["reasons"]),
        warnings=tuple(warning_sentence(row, warning) for warning in warnings),
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


def _text(value: float, check: ContractCheck) -> str:
    if check.said is not None:
        return check.said(value)
    match check.unit:
        case Unit.REQUESTS:
            return f"{count_text(value)} requests"
        case Unit.HOURS:
            return f"{count_text(max(value, 0.0), 1)} hours"
        case Unit.PERCENT:
            return percent_text(value)
        case Unit.FRACTION:
            return rate_text(value)
        case _ as never:
            assert_never(never)


def _check(row: Mapping[str, Any], check: ContractCheck) -> Check:
    observed, threshold = _number(row.get(check.observed)), float(row[check.threshold_column])
    if check.unit is Unit.HOURS and observed is not None:
        # Before its start, or while no request has matured, a phase has not run for a negative time.
        observed = max(observed, 0.0)
    passed = bool(row[check.name])
    message = _check_sentence(row, check, observed, threshold, passed=passed)
    if check.remark is not None:
        message += check.remark(row)
    return Check(check.name, passed, observed, threshold, check.unit.value, message)


def _check_sentence(
    row: Mapping[str, Any], check: ContractCheck, observed: float | None, threshold: float, *, passed: bool
) -> str:
    asked = _text(threshold, check)
    if observed is None:
        if check.unmeasured is not None and (_number(row.get("sample_size")) or 0) > 0:
            return f"{check.subject} not measured, needed {check.sign} {asked}: {check.unmeasured}"
        return f"{check.subject} could not be measured; needed {check.sign} {asked}"
    seen = _text(observed, check)
    if check.also_failed and not passed and check.reaches(np.array(observed), np.array(threshold)):
        return f"{check.subject} {seen}, but {check.also_failed}"
    if seen == asked and observed != threshold:
        seen, asked = _told_apart(observed, threshold)
    relation = check.sign if passed else {">=": "<", "<=": ">"}[check.sign]
    return f"{check.subject} {seen} {relation} {asked}"


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


def _summary(row: Mapping[str, Any], verdict: Verdict, log: str) -> str:
    name = row.get("candidate_variant_name")
    candidate = "the candidate" if name is None or pd.isna(name) else f"{name!r}"
    match verdict:
        case Verdict.ELIGIBLE if row["is_promotable"]:
            return f"{candidate} won: all {CHECKS_IN_WORDS} pass and the evidence for an unattended promotion is there"
        case Verdict.ELIGIBLE:
            missing = "an unattended promotion needs more evidence, a person may approve"
            return f"{candidate} passes all {CHECKS_IN_WORDS}; {missing}"
        case Verdict.NOT_YET:
            return f"no decision yet; {candidate} is the nearest"
        case Verdict.REJECTED:
            is_behind = (_number(row.get("z")) or 0.0) < 0
            return f"enough data, and {candidate} {'is worse than control' if is_behind else 'does not qualify'}"
        case Verdict.INCONCLUSIVE:
            return "the data cannot be judged"
        case Verdict.ERROR:
            faults = [code for code in row["reasons"] if code not in CHECKS]
            return "could not be evaluated: " + "; ".join(_reason(row, code, log) for code in faults)
        case _ as never:
            assert_never(never)


def _reason(row: Mapping[str, Any], code: str, log: str) -> str:
    if code in CHECKS:
        return _check(row, CHECKS[code]).message
    reason = Reason(code)
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


def warning_sentence(row: Mapping[str, Any], warning: Warn) -> str:
    """One warning of a decision in words."""
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
        case Warn.BOUNDARY_NOT_CROSSED:
            return "passes the z-test at this look, but does not cross the group-sequential boundary of its plan"
        case Warn.NO_PLAN:
            return (
                "its evidence is group_sequential, which needs a plan, and it states none: set planned_sample_size"
                " (requests of two arms) in its promotion_config, before the first look"
            )
        case Warn.PART_OF_A_WEEK:
            return "not a whole number of weeks since the phase's start: whole_weeks lets it go unattended only then"
        case Warn.PRE_PERIOD_DIFFERENCE:
            return (
                "the candidate's users differed from control's before they were exposed (p < 0.001 in a metric's past):"
                " the arms are not comparable; check the assignment"
            )
        case Warn.FEW_CONVERSIONS:
            return "an arm has fewer conversions than min_conversions asks for in an unattended promotion"
        case Warn.GUARDRAIL:
            return guardrails_sentence(row)
        case Warn.GOALS_NOT_SHOWN:
            return "no goal of the experiment is shown better yet by the test that stays valid under hourly looks"
        case Warn.GOAL_WORSE:
            return "a goal of the experiment is shown worse than control: see the results of each metric"
        case _ as never:
            assert_never(never)


def guardrails_sentence(row: Mapping[str, Any]) -> str:
    """The guardrails that the candidate does not keep, by name; those that could not be measured apart."""
    lacking = set(_names(row, "guardrails_not_measured"))
    failed = [name for name in _names(row, "guardrails_not_kept") if name not in lacking]
    parts = [f"{_listed(failed)} not kept"] * bool(failed)
    parts += [f"{_listed(sorted(lacking))} not measured, which is not kept"] * bool(lacking)
    return "guardrails: " + "; ".join(parts) if parts else "a guardrail of the experiment is not kept"


def _names(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    names = row.get(column)
    return () if names is None or isinstance(names, float) else tuple(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _exposure(row: Mapping[str, Any]) -> str:
    """The larger of the shares of users and of requests, or both where the requests say more."""
    users, requests = _number(row.get("multiple_exposure")), _number(row.get("multiple_exposure_requests"))
    found = "more than 1 %" if users is None else rate_text(users, 1)
    if requests is None or users is None or requests <= users:
        return f"{found} of the users were served by several variants"
    found = found if users >= 0.001 else "under 0.1 %"
    return f"{found} of the users, who made {rate_text(requests, 1)} of the requests, were served by several variants"
