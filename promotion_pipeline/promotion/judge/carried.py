"""What the stated metrics say for and against the candidate: goals that carry the evidence, guardrails harmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from promotion_pipeline.config import Evidence, MetricRole
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.judge.wording import required_evidence
from promotion_pipeline.promotion.record.models import EvidenceResult, GoalEvidence
from promotion_pipeline.text.numbers import interval_text, p_sentence, p_value_text


def goals_of(judged: Judged) -> dict[str, Any]:
    """The goals that carry the evidence in the primary metric's place, as they are answered; none: it does."""
    goals = [row for row in _of_candidate(judged) if row["role"] == MetricRole.GOAL]
    if not goals or judged.decision is None or required_evidence(judged) is Evidence.FIXED_HORIZON:
        return {}
    treatments = sum(not row["is_control"] for row in judged.metrics)
    level = judged.decision.get("min_confidence_threshold")
    return {
        "goals": tuple(
            GoalEvidence(
                metric=row["metric"],
                adjusted_p_value=row["adjusted_p_value"],
                outcome=MetricOutcome(row["outcome"]),
            )
            for row in goals
        ),
        "goal_p_needed": None if level is None else (1.0 - level / 100.0) / max(treatments, 1),
    }


def harmed_by(judged: Judged) -> tuple[str, ...]:
    """The guardrails that the candidate is shown to make worse, beyond what they allow."""
    return tuple(
        row["metric"]
        for row in _of_candidate(judged)
        if row["guardrail"] == GuardrailVerdict.NOT_KEPT and row["outcome"] == MetricOutcome.WORSE
    )


def evidence_sentence(evidence: EvidenceResult) -> str:
    """What the evidence for an unattended promotion is made of, with its numbers."""
    if evidence.goals:
        asked = p_value_text(evidence.goal_p_needed)
        shown = "; ".join(goal_text(goal) for goal in evidence.goals)
        return f"evidence ({evidence.required}) by its goals, a p-value of {asked} at every look asked for: {shown}"
    unit = f" by {evidence.analysis_unit}" if evidence.analysis_unit else ""
    lift = interval_text(evidence.lift_lower, evidence.lift_upper)
    return f"evidence ({evidence.required}): lift that holds at every look{unit} {lift}"


def goal_text(goal: GoalEvidence) -> str:
    """One goal with its p-value."""
    said = f"{goal.metric!r} {outcome_text(goal.outcome)}"
    if goal.outcome is MetricOutcome.NOT_MEASURED:
        return said
    return f"{said}, {p_sentence(goal.adjusted_p_value)} (Holm)"


def outcome_text(outcome: MetricOutcome) -> str:
    """What a goal shows, in a word or three."""
    match outcome:
        case MetricOutcome.BETTER | MetricOutcome.WORSE:
            return outcome.value
        case MetricOutcome.NO_SIGN:
            return "not shown yet"
        case MetricOutcome.NOT_MEASURED:
            return "not measured"
        case _ as never:
            assert_never(never)


def _of_candidate(judged: Judged) -> list[Mapping[str, Any]]:
    name = None if judged.decision is None else judged.decision["candidate_variant_name"]
    return [row for row in judged.metric_results if row["variant_name"] == name]
