"""Sentences about what stands between an experiment and an unattended promotion."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import assert_never

from promotion_pipeline.config import Evidence
from promotion_pipeline.evaluation import Warn
from promotion_pipeline.evaluation.explain import guardrails_sentence, warning_sentence
from promotion_pipeline.evaluation.outlook import exposure_need
from promotion_pipeline.evaluation.unattended import GATES, WithheldReason
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.text.numbers import count_text, instant_text

WEEK = timedelta(days=7)
MISSING_EVIDENCE = {
    Warn.NOT_ALWAYS_VALID: "the always-valid test does not carry it yet",
    Warn.BOUNDARY_NOT_CROSSED: "the group-sequential boundary of its plan is not crossed",
    Warn.SAMPLE_RATIO_MISMATCH: "the traffic is not split as declared",
    Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH: "the traffic is not split as declared",
    Warn.GOALS_NOT_SHOWN: "no goal is shown better yet by the always-valid test",
    Warn.GOAL_WORSE: "a goal is shown worse",
}
"""What keeps the evidence from being there, by the warning that says so."""


def withheld_sentence(judged: Judged, reason: WithheldReason) -> str:
    """One reason in words."""
    match reason:
        case WithheldReason.EVIDENCE:
            return _missing_evidence(judged)
        case WithheldReason.STALE:
            return _staleness(judged)
        case WithheldReason.LOW_TRAFFIC:
            return _low_traffic(judged)
        case WithheldReason.INCOMPLETE_DATA:
            return _incomplete(judged)
        case WithheldReason.PHASE_CHANGED:
            return "its split or activity was changed past the triggers: what was judged is not what is served"
        case WithheldReason.NOT_SCHEDULED:
            return "this hour was decided by a person's run; the next scheduled decision or auto-check may promote"
        case WithheldReason.ENDED:
            return _ended(judged)
        case WithheldReason.NO_PLAN | WithheldReason.FEW_CONVERSIONS | WithheldReason.PRE_PERIOD_DIFFERENCE:
            return _gate(judged, reason)
        case WithheldReason.PART_OF_A_WEEK:
            return _part_of_a_week(judged)
        case WithheldReason.MANUAL_APPROVAL:
            return "its thresholds ask for a person's approval"
        case WithheldReason.HELD:
            return f"automatic promotion is on hold ({judged.experiment.hold})"
        case WithheldReason.DISABLED:
            return "automatic promotion is switched off (AUTO_PROMOTION_ENABLED=false)"
        case _ as never:
            assert_never(never)


def _missing_evidence(judged: Judged) -> str:
    """What the evidence lacks: only what holds."""
    codes = () if judged.decision is None else judged.decision["warnings"]
    found = [said for code, said in MISSING_EVIDENCE.items() if code in codes]
    if judged.decision is not None and Warn.GUARDRAIL in codes:
        found.append(guardrails_sentence(judged.decision))
    exposed = None if judged.decision is None else exposure_need(judged.decision)
    if exposed is not None and required_evidence(judged) is not Evidence.FIXED_HORIZON:
        found.append(exposed)
    return " and ".join(dict.fromkeys(found)) or "the evidence for an unattended promotion is not there yet"


def _gate(judged: Judged, reason: WithheldReason) -> str:
    return "" if judged.decision is None else warning_sentence(judged.decision, GATES[reason])


def _part_of_a_week(judged: Judged) -> str:
    said, began = _gate(judged, WithheldReason.PART_OF_A_WEEK), judged.experiment.phase_started_at
    if began is None or judged.config is None:
        return said
    judged_from = began + timedelta(hours=math.ceil(judged.config.attribution_window_hours))
    weeks = max((judged.as_of - judged_from) // WEEK + 1, 1)
    return f"{said}; next at {instant_text(judged_from + weeks * WEEK)}"


def _incomplete(judged: Judged) -> str:
    return "" if judged.completeness is None else judged.completeness.sentence


def _low_traffic(judged: Judged) -> str:
    return "" if judged.newest_hour is None else judged.newest_hour.sentence


def _ended(judged: Judged) -> str:
    end_date = judged.experiment.end_date
    return "" if end_date is None else f"its end_date {instant_text(end_date)} has passed"


def _staleness(judged: Judged) -> str:
    allowed = 0.0 if judged.config is None else judged.config.max_staleness_hours
    if judged.watermark is None:
        return "the data is stale: no request of this phase is known"
    age_hours = (judged.as_of - judged.watermark).total_seconds() / 3600
    older = f"{count_text(age_hours, 1)} hours older than the as-of"
    return f"the data is stale: the newest request is {older}, {allowed:g} are allowed"


def required_evidence(judged: Judged) -> Evidence:
    """What its thresholds ask of an unattended promotion; the default where they are not valid."""
    return Evidence.ALWAYS_VALID if judged.config is None else judged.config.evidence
