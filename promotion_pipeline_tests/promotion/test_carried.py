"""Goals that carry the evidence, and guardrails that are harmed, in what is said of an experiment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pandas as pd

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.promotion.judge.carried import evidence_sentence
from promotion_pipeline.promotion.judge.eligibility import eligibility_of
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.judge.rows import plain
from promotion_pipeline.promotion.record.experiments import ExperimentFacts
from promotion_pipeline.promotion.record.models import PromotionEligibility
from promotion_pipeline_tests.evaluation.stated import (
    LATENCY,
    REVENUE,
    SIGN_UP,
    judged,
    metric_rows,
    of_requests,
    of_users,
)


def answer(stated: list[dict[str, Any]], *sums: Any, evidence: str = "always_valid") -> PromotionEligibility:
    """What is answered of an experiment that passes the contract and states these metrics."""
    found = judged(stated, None if not sums else pd.concat(sums), evidence=evidence)
    newest = found.decisions["hour"].max()
    of_hour = [rows_of(frame, newest) for frame in (found.metrics, found.metric_results)]
    decision = rows_of(found.decisions, newest)[0] | {"candidate_variant_id": None}
    variants = [row | {"variant_id": str(UUID(int=at))} for at, row in enumerate(of_hour[0])]
    return eligibility_of(
        Judged(
            experiment=ExperimentFacts(id=UUID(int=1), name="button"),
            as_of=datetime(2026, 1, 1, tzinfo=UTC),
            config=PromotionConfig(evidence=evidence),
            decision=decision,
            metrics=tuple(variants),
            metric_results=tuple(of_hour[1]),
        )
    )


def rows_of(frame: pd.DataFrame, hour: pd.Timestamp) -> list[dict[str, Any]]:
    """The rows about an hour, of plain values."""
    of_hour = frame[frame["hour"] == hour].to_dict("records")
    return [{str(name): plain(value) for name, value in row.items()} for row in of_hour]


def test_goals_that_carry_the_evidence_are_named_with_their_adjusted_p_values() -> None:
    revenue = metric_rows("revenue", {"control": of_users(20_000, 1.0), "variant-a": of_users(20_000, 1.1)})
    found = answer([REVENUE, SIGN_UP], revenue)
    said = evidence_sentence(found.evidence)
    assert "by its goals, a p-value of 0.05 at every look asked for: 'revenue' better, p = " in said
    assert said.endswith("(Holm); 'sign-up' not measured")
    own = {row.metric: row.adjusted_p_value for row in found.metrics}
    assert found.evidence.goals[0].adjusted_p_value == own["revenue"]
    assert found.evidence.goal_p_needed is not None


def test_without_goals_and_by_the_contract_alone_the_primary_metric_carries_it() -> None:
    revenue = metric_rows("revenue", {"control": of_users(20_000, 1.0), "variant-a": of_users(20_000, 1.1)})
    assert answer([REVENUE], revenue, evidence="fixed_horizon").evidence.goals == ()
    none = answer([{**REVENUE, "role": "secondary"}], revenue)
    assert none.evidence.goals == ()
    assert "lift that holds at every look" in evidence_sentence(none.evidence)


def test_a_guardrail_that_is_shown_to_be_worse_is_harmed_and_one_that_is_not_shown_to_be_kept_is_not() -> None:
    arms = ("control", "variant-a")
    clear = [of_requests(20_000, mean, 10) for mean in (100, 114)]
    unclear = [of_requests(20_000, mean, 500) for mean in (100, 101)]
    worse, unsure = (metric_rows("latency", dict(zip(arms, sums, strict=True))) for sums in (clear, unclear))
    assert answer([LATENCY], worse).harmed == ("latency",)
    found = answer([LATENCY], unsure)
    assert (found.metrics[0].guardrail, found.harmed) == ("not_kept", ())
