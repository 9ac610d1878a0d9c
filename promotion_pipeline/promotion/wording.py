"""From an assessment to `PromotionEligibility`: the sentences, and what stands between it and an unattended act."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

from promotion_pipeline.config import Evidence
from promotion_pipeline.evaluation import Reason, Verdict, Warn
from promotion_pipeline.evaluation.contract import CHECKS, CHECKS_IN_WORDS
from promotion_pipeline.evaluation.explain import Explanation, explain
from promotion_pipeline.evaluation.outlook import exposure_need
from promotion_pipeline.evaluation.unattended import WithheldReason, withheld_reasons
from promotion_pipeline.promotion.models import (
    CheckResult,
    EvidenceResult,
    PromotionEligibility,
    SafetyChecks,
    VariantMetrics,
)
from promotion_pipeline.promotion.splits import steps_above

if TYPE_CHECKING:
    from promotion_pipeline.promotion.assess import Assessment

METRICS = (
    "requests",
    "conversions",
    "errors",
    "users",
    "conversion_rate",
    "error_rate",
    "mean_latency_ms",
    "mean_value",
)
BESIDE = (
    "sequential_srm_p_value",
    "shrunken_lift",
    "lift_prior_sd",
    "information_fraction",
    "group_sequential_z",
    "group_sequential_boundary_z",
    "group_sequential_crossed",
    "multiple_exposure",
)
"""Evidence that decisions recorded by earlier versions do not have."""
MISSING_EVIDENCE = {
    Warn.NOT_ALWAYS_VALID: "the always-valid test does not carry it yet",
    Warn.SAMPLE_RATIO_MISMATCH: "the traffic is not split as declared",
    Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH: "the traffic is not split as declared",
    Warn.GUARDRAIL: "a guardrail stands against it",
}
"""What keeps the evidence from being there, by the warning that says so."""
NUMBERS = ("confidence", "improvement", "sample_size", "runtime_hours", "z", "p_value")


def eligibility_of(assessment: Assessment) -> PromotionEligibility:
    """The answer about one experiment."""
    if assessment.decision is None:
        return _not_evaluated(assessment)
    row = assessment.decision
    words, ahead = explain(row | _beside(assessment, row), assessment.log), assessment.outlook
    eligible = bool(row["is_eligible"])
    candidate = row["candidate_variant_name"]
    candidate_id = _uuid(row["candidate_variant_id"])
    return PromotionEligibility(
        experiment_name=assessment.experiment.name,
        is_eligible=eligible,
        is_promotable=bool(row["is_promotable"]),
        verdict=Verdict(row["verdict"]),
        winner=candidate if eligible else None,
        winner_variant_id=candidate_id if eligible else None,
        candidate=candidate,
        candidate_variant_id=candidate_id,
        control=row["control_variant_name"],
        **{name: row[name] for name in NUMBERS if name != "runtime_hours"},
        runtime_hours=None if row["runtime_hours"] is None else max(row["runtime_hours"], 0.0),
        reasons=_reasons(assessment, words),
        reason_codes=tuple(row["reasons"]),
        warnings=(*words.warnings, *(_data_warnings(assessment).values() if eligible else ())),
        warning_codes=(*row["warnings"], *(_data_warnings(assessment) if eligible else ())),
        notes=words.notes,
        safety_checks=SafetyChecks(**{name: bool(row.get(name)) for name in CHECKS}),
        checks=tuple(CheckResult(**vars(check)) for check in words.checks),
        evidence=_evidence(assessment, row),
        hold=assessment.experiment.hold,
        distrust=assessment.distrust,
        **(_ramp(assessment, row) if eligible else {}),
        missing=tuple(need.message for need in ahead.needs) if ahead else (),
        missing_hours=ahead.hours if ahead else None,
        summary=_summary(assessment, words, is_eligible=eligible),
        as_of=assessment.as_of,
        variants=tuple(_variant(metrics) for metrics in assessment.metrics),
    )


def _beside(assessment: Assessment, row: Mapping[str, Any]) -> dict[str, Any]:
    """What warnings compare: the candidate's numbers and control's."""
    of = {metrics["variant_name"]: metrics for metrics in assessment.metrics}
    arms = {"": row["candidate_variant_name"], "control_": row["control_variant_name"]}
    return {
        f"{prefix}{name}": of[arm][name]
        for prefix, arm in arms.items()
        if arm in of
        for name in ("error_rate", "mean_latency_ms")
    }


def withheld_because(assessment: Assessment) -> tuple[WithheldReason, ...]:
    """Everything that keeps this experiment from an unattended promotion beyond the contract; empty: nothing."""
    facts = assessment.facts
    return () if facts is None else withheld_reasons(facts)


def withheld_sentence(assessment: Assessment, reason: WithheldReason) -> str:
    """One reason in words."""
    match reason:
        case WithheldReason.EVIDENCE:
            return _missing_evidence(assessment)
        case WithheldReason.STALE:
            return _staleness(assessment)
        case WithheldReason.LOW_TRAFFIC:
            return _low_traffic(assessment)
        case WithheldReason.INCOMPLETE_DATA:
            return _incomplete(assessment)
        case WithheldReason.PHASE_CHANGED:
            return "its split or activity was changed past the triggers: what was judged is not what is served"
        case WithheldReason.NOT_SCHEDULED:
            return "this hour was decided by a person's run; the next scheduled decision or auto-check may promote"
        case WithheldReason.ENDED:
            return _ended(assessment)
        case WithheldReason.MANUAL_APPROVAL:
            return "its thresholds ask for a person's approval"
        case WithheldReason.HELD:
            return f"automatic promotion is on hold ({assessment.experiment.hold})"
        case WithheldReason.DISABLED:
            return "automatic promotion is switched off (AUTO_PROMOTION_ENABLED=false)"
        case _ as never:
            assert_never(never)


def _missing_evidence(assessment: Assessment) -> str:
    """What the evidence lacks: only what holds."""
    codes = () if assessment.decision is None else assessment.decision["warnings"]
    found = [said for code, said in MISSING_EVIDENCE.items() if code in codes]
    exposed = None if assessment.decision is None else exposure_need(assessment.decision)
    if exposed is not None and _required(assessment) is Evidence.ALWAYS_VALID:
        found.append(exposed)
    return " and ".join(dict.fromkeys(found)) or "the evidence for an unattended promotion is not there yet"


def _summary(assessment: Assessment, words: Explanation, *, is_eligible: bool) -> str:
    distrust = assessment.distrust
    if distrust is None:
        return words.summary
    if not is_eligible or assessment.decision is None:
        return f"the numbers cannot be trusted: {distrust}; {words.summary}"
    candidate = assessment.decision["candidate_variant_name"]
    return (
        f"the numbers cannot be trusted: {distrust}; {candidate!r} passes all {CHECKS_IN_WORDS} on them: find out"
        " what is broken before anybody promotes it"
    )


def _not_evaluated(assessment: Assessment) -> PromotionEligibility:
    problem = assessment.problem or f"{assessment.experiment.name!r} was not evaluated"
    return PromotionEligibility(
        experiment_name=assessment.experiment.name,
        is_eligible=False,
        verdict=Verdict.INCONCLUSIVE,
        reasons=(problem,),
        reason_codes=("not_running",),
        evidence=EvidenceResult(required=_required(assessment), is_met=False),
        hold=assessment.experiment.hold,
        summary=problem,
        as_of=assessment.as_of,
    )


def _reasons(assessment: Assessment, words: Explanation) -> tuple[str, ...]:
    """The explained reasons, with what the frames do not know."""
    codes = assessment.decision["reasons"] if assessment.decision else []
    experiment = assessment.experiment
    if Reason.INVALID_CONFIG in codes and assessment.problem:
        return (*words.reasons, assessment.problem)
    begun = experiment.start_date is not None and experiment.start_date < assessment.as_of
    if Reason.NOT_STARTED in codes and experiment.phase_started_at and begun:
        since = f"{experiment.phase_started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return (f"the split changed at {since}: measurement began anew, and no full hour of it is over",)
    return words.reasons


def _evidence(assessment: Assessment, row: Mapping[str, Any]) -> EvidenceResult:
    return EvidenceResult(
        required=_required(assessment),
        is_met=bool(row["is_promotable"])
        and assessment.is_fresh
        and not assessment.is_quiet
        and (assessment.completeness is None or assessment.completeness.is_complete),
        always_valid_p_value=row["always_valid_p_value"],
        lift_lower=row["lift_lower"],
        lift_upper=row["lift_upper"],
        srm_p_value=row["srm_p_value"],
        **{name: row.get(name) for name in BESIDE},
        analysis_unit=row["analysis_unit"],
        is_fresh=assessment.is_fresh,
        newest_request_at=assessment.watermark,
        withheld=(withheld := withheld_because(assessment)),
        withheld_because=tuple(withheld_sentence(assessment, reason) for reason in withheld),
    )


def _required(assessment: Assessment) -> Evidence:
    return Evidence.ALWAYS_VALID if assessment.config is None else assessment.config.evidence


def _data_warnings(assessment: Assessment) -> dict[str, str]:
    """What is wrong with the data as a whole: code and sentence."""
    found = {"stale_data": _staleness(assessment)} if not assessment.is_fresh else {}
    if assessment.completeness is not None and not assessment.completeness.is_complete:
        found["incomplete_data"] = _incomplete(assessment)
    return found | ({"low_traffic": _low_traffic(assessment)} if assessment.is_quiet else {})


def _incomplete(assessment: Assessment) -> str:
    return "" if assessment.completeness is None else assessment.completeness.sentence


def _low_traffic(assessment: Assessment) -> str:
    return "" if assessment.newest_hour is None else assessment.newest_hour.sentence


def _ended(assessment: Assessment) -> str:
    end_date = assessment.experiment.end_date
    return "" if end_date is None else f"its end_date {end_date.astimezone(UTC):%Y-%m-%d %H:%M} UTC has passed"


def _staleness(assessment: Assessment) -> str:
    allowed = 0.0 if assessment.config is None else assessment.config.max_staleness_hours
    if assessment.watermark is None:
        return "the data is stale: no request of this phase is known"
    age_hours = (assessment.as_of - assessment.watermark).total_seconds() / 3600
    return (
        f"the data is stale: the newest request is {age_hours:.1f} hours older than the as-of, {allowed:g} are allowed"
    )


def _variant(row: Mapping[str, Any]) -> VariantMetrics:
    return VariantMetrics(
        id=UUID(row["variant_id"]),
        name=row["variant_name"],
        is_control=row["is_control"],
        traffic_percentage=row["traffic_percentage"],
        **{name: row[name] for name in METRICS},
    )


def _ramp(assessment: Assessment, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a promotion would do to the traffic."""
    config, winner = assessment.config, row["candidate_variant_id"]
    shares = [metrics["traffic_percentage"] for metrics in assessment.metrics if metrics["variant_id"] == winner]
    if config is None or not shares or shares[0] is None:
        return {}
    steps = steps_above(config.ramp_steps, Decimal(str(shares[0])))
    return {"ramp": steps, "ramp_hold_hours": config.ramp_hold_hours if len(steps) > 1 else None}


def _uuid(value: object) -> UUID | None:
    return None if value is None else UUID(str(value))
