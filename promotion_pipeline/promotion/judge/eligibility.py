"""The answer about one experiment: eligible or not, and why, in numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from promotion_pipeline.config import parse_config
from promotion_pipeline.decisions.past_lifts import Expected
from promotion_pipeline.evaluation import Reason, Verdict
from promotion_pipeline.evaluation.contract import CHECKS, CHECKS_IN_WORDS
from promotion_pipeline.evaluation.explain import Explanation, explain
from promotion_pipeline.evaluation.metric_words import metric_message
from promotion_pipeline.evaluation.unattended import WithheldReason
from promotion_pipeline.promotion.judge.carried import goals_of, harmed_by
from promotion_pipeline.promotion.judge.distrust import distrust_of
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.judge.primary import primary_estimate, primary_of
from promotion_pipeline.promotion.judge.wording import required_evidence, withheld_sentence
from promotion_pipeline.promotion.record.experiments import ExperimentFacts
from promotion_pipeline.promotion.record.models import (
    CheckResult,
    EvidenceResult,
    MetricResult,
    Promotion,
    PromotionEligibility,
    SafetyChecks,
    StandingPromotion,
    VariantMetrics,
)
from promotion_pipeline.promotion.record.splits import steps_of
from promotion_pipeline.text.numbers import instant_text, rate_text

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
LATER_EVIDENCE = (
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
NUMBERS = ("confidence", "improvement", "sample_size", "runtime_hours", "z", "p_value")


def eligibility_of(judged: Judged) -> PromotionEligibility:
    """The answer about one experiment."""
    if judged.decision is None:
        return _not_evaluated(judged)
    row = judged.decision
    words, ahead = explain(row | _compared_by_warnings(judged, row), judged.log), judged.outlook
    eligible = bool(row["is_eligible"])
    candidate = row["candidate_variant_name"]
    candidate_id = _uuid(row["candidate_variant_id"])
    return PromotionEligibility(
        experiment_name=judged.experiment.name,
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
        reasons=_reasons(judged, words),
        reason_codes=tuple(row["reasons"]),
        warnings=(*words.warnings, *(_data_warnings(judged).values() if eligible else ())),
        warning_codes=(*row["warnings"], *(_data_warnings(judged) if eligible else ())),
        notes=(*words.notes, *_learned_notes(judged, row)),
        safety_checks=SafetyChecks(**{name: bool(row.get(name)) for name in CHECKS}),
        checks=tuple(CheckResult(**vars(check)) for check in words.checks),
        evidence=_evidence(judged, row),
        hold=judged.experiment.hold,
        distrust=distrust_of(judged),
        harmed=harmed_by(judged),
        **(_ramp(judged, row) if eligible else {}),
        missing=tuple(need.message for need in ahead.needs) if ahead else (),
        missing_hours=ahead.hours if ahead else None,
        summary=_summary(judged, words, is_eligible=eligible),
        as_of=judged.as_of,
        **primary_of(judged.config),
        variants=tuple(_variant(judged, metrics) for metrics in judged.metrics),
        metrics=tuple(metric_result(found) for found in judged.metric_results),
    )


def _learned_notes(judged: Judged, row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the candidate's lift is expected to be by the team's own past, where it seems to lead."""
    learned = judged.learned
    if learned is None or not (row["improvement"] or 0.0) > 0:
        return ()
    return (
        f"by {learned.estimates} comparisons of this team's own ended experiments, whose true lifts are usually within"
        f" {rate_text(learned.sd, 1)} of 0, expected to be about {rate_text(learned.shrunken_lift, 1, signed=True)}",
    )


def eligibility_when_promoted(promotion: Promotion) -> PromotionEligibility:
    """The answer that carried a promotion, as it stood under the experiment's lock.

    It is read off the record: asked anew, the experiment would not be running any more.
    """
    snapshot, watermark = promotion.snapshot, promotion.snapshot.get("watermark")
    return eligibility_of(
        Judged(
            experiment=ExperimentFacts(
                id=promotion.experiment_id, name=promotion.experiment_name, hold=snapshot.get("hold")
            ),
            as_of=promotion.evaluated_as_of,
            config=parse_config(promotion.config, source="recorded config"),
            decision=snapshot["decision"],
            metrics=tuple(snapshot["variants"]),
            metric_results=tuple(snapshot.get("metrics", ())),
            watermark=datetime.fromisoformat(watermark) if watermark else None,
            learned=Expected(**snapshot["learned_prior"]) if snapshot.get("learned_prior") else None,
        )
    )


def standing(promotion: Promotion) -> StandingPromotion:
    """A live promotion with the answer that carried it."""
    return StandingPromotion(
        id=promotion.id,
        state=promotion.state,
        winner=promotion.promoted_variant_name,
        promoted_at=promotion.promoted_at,
        promoted_by=promotion.promoter,
        promotion_type=promotion.promotion_type,
        was=eligibility_when_promoted(promotion),
    )


def _compared_by_warnings(judged: Judged, row: Mapping[str, Any]) -> dict[str, Any]:
    """What warnings compare: the candidate's numbers and control's."""
    of = {metrics["variant_name"]: metrics for metrics in judged.metrics}
    arms = {"": row["candidate_variant_name"], "control_": row["control_variant_name"]}
    return {
        f"{prefix}{name}": of[arm][name]
        for prefix, arm in arms.items()
        if arm in of
        for name in ("error_rate", "mean_latency_ms")
    }


def _summary(judged: Judged, words: Explanation, *, is_eligible: bool) -> str:
    if judged.decision is not None and Reason.INVALID_CONFIG in judged.decision["reasons"] and judged.problem:
        return f"could not be evaluated: {judged.problem}"
    distrust = distrust_of(judged)
    if distrust is None:
        return words.summary
    if not is_eligible or judged.decision is None:
        return f"the numbers cannot be trusted: {distrust}; {words.summary}"
    candidate = judged.decision["candidate_variant_name"]
    return (
        f"the numbers cannot be trusted: {distrust}; {candidate!r} passes all {CHECKS_IN_WORDS} on them: find out"
        " what is broken before anybody promotes it"
    )


def _not_evaluated(judged: Judged) -> PromotionEligibility:
    problem = judged.problem or f"{judged.experiment.name!r} was not evaluated"
    return PromotionEligibility(
        experiment_name=judged.experiment.name,
        is_eligible=False,
        verdict=Verdict.INCONCLUSIVE,
        reasons=(problem,),
        reason_codes=("not_running",),
        evidence=EvidenceResult(required=required_evidence(judged), is_met=False),
        hold=judged.experiment.hold,
        **primary_of(judged.config),
        summary=problem,
        as_of=judged.as_of,
    )


def _reasons(judged: Judged, words: Explanation) -> tuple[str, ...]:
    """The explained reasons, with what the frames do not know."""
    codes = judged.decision["reasons"] if judged.decision else []
    experiment = judged.experiment
    if Reason.INVALID_CONFIG in codes and judged.problem:
        return (judged.problem, *words.reasons)
    begun = experiment.start_date is not None and experiment.start_date < judged.as_of
    if Reason.NOT_STARTED in codes and experiment.phase_started_at and begun:
        since = instant_text(experiment.phase_started_at)
        began = experiment.phase_began_by or "the experiment changed"
        return (f"{began} at {since}: measurement began anew, and no full hour of it is over",)
    return words.reasons


def _evidence(judged: Judged, row: Mapping[str, Any]) -> EvidenceResult:
    return EvidenceResult(
        required=required_evidence(judged),
        is_met=bool(row["is_promotable"]) and judged.is_fresh and not judged.is_quiet and judged.is_complete,
        always_valid_p_value=row["always_valid_p_value"],
        lift_lower=row["lift_lower"],
        lift_upper=row["lift_upper"],
        srm_p_value=row["srm_p_value"],
        **{name: row.get(name) for name in LATER_EVIDENCE},
        learned_lift=None if judged.learned is None else judged.learned.shrunken_lift,
        learned_prior_sd=None if judged.learned is None else judged.learned.sd,
        learned_from=None if judged.learned is None else judged.learned.estimates,
        analysis_unit=row["analysis_unit"],
        is_fresh=judged.is_fresh,
        newest_request_at=judged.watermark,
        **goals_of(judged),
        withheld=judged.withheld,
        withheld_because=tuple(withheld_sentence(judged, reason) for reason in judged.withheld),
    )


def _variant(judged: Judged, row: Mapping[str, Any]) -> VariantMetrics:
    reasons = () if judged.decision is None else judged.decision["reasons"]
    return VariantMetrics(
        id=UUID(row["variant_id"]),
        name=row["variant_name"],
        is_control=row["is_control"],
        traffic_percentage=row["traffic_percentage"],
        primary_estimate=primary_estimate(row, judged.config, reasons),
        **{name: row[name] for name in METRICS},
    )


def metric_result(row: Mapping[str, Any]) -> MetricResult:
    """A row of `metric_results` as it is answered."""
    known = {name: row[name] for name in MetricResult.model_fields if name in row}
    return MetricResult(**known | {"message": metric_message(row)})


def _ramp(judged: Judged, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a promotion would do to the traffic."""
    config, winner = judged.config, row["candidate_variant_id"]
    shares = [metrics["traffic_percentage"] for metrics in judged.metrics if metrics["variant_id"] == winner]
    if config is None or not shares or shares[0] is None:
        return {}
    steps = steps_of(config.ramp_steps, Decimal(str(shares[0])), config.holdback_percent)
    planned = {
        "ramp": tuple(step.percent for step in steps),
        "ramp_hold_hours": config.ramp_hold_hours if len(steps) > 1 else None,
    }
    held = [100.0 - step.percent for step in steps if step.is_holdback]
    return planned | ({"holdback_percent": held[0], "holdback_days": config.holdback_days} if held else {})


def _uuid(value: object) -> UUID | None:
    return None if value is None else UUID(str(value))


def _data_warnings(judged: Judged) -> dict[str, str]:
    """What is wrong with the data as a whole: code and sentence."""
    wrong = {
        "stale_data": (WithheldReason.STALE, not judged.is_fresh),
        "incomplete_data": (WithheldReason.INCOMPLETE_DATA, not judged.is_complete),
        "low_traffic": (WithheldReason.LOW_TRAFFIC, judged.is_quiet),
    }
    return {code: withheld_sentence(judged, reason) for code, (reason, holds) in wrong.items() if holds}
