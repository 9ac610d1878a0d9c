"""The five contract checks, the candidate and the verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from promotion_pipeline import config as configuration
from promotion_pipeline.evaluation import evaluate, explain, outlook
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

PromotionConfig = configuration.PromotionConfig
CHECKS = ["min_sample_size", "min_confidence", "min_improvement", "min_runtime", "error_rate_acceptable"]
WINNER = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}


def test_a_clear_winner_passes_all_five_checks_and_is_promotable() -> None:
    decision = last(evaluate(sums(WINNER), experiment()).decisions)
    assert decision["verdict"] == "eligible"
    assert decision[CHECKS].all()
    assert decision["is_eligible"]
    assert decision["is_promotable"]
    assert decision["candidate_variant_name"] == "variant-a"
    assert decision["control_variant_id"] == "button/control"
    assert decision["reasons"] == ("all_checks_passed",)


def test_z_p_value_confidence_and_improvement_are_those_of_the_pooled_test() -> None:
    decision = last(evaluate(sums({"control": (1000, 100), "variant-a": (1000, 130)}), experiment()).decisions)
    # statsmodels 0.15.0, proportions_ztest([130, 100], [1000, 1000])
    assert decision["z"] == pytest.approx(2.102740605622114, abs=1e-12)
    assert decision["p_value"] == pytest.approx(0.03548845046647471, abs=1e-12)
    assert decision["confidence"] == pytest.approx(96.451154953352529, abs=1e-9)
    assert decision["improvement"] == 30.0


@pytest.mark.parametrize(
    ("counts", "failed"),
    [
        ({"control": (999, 100), "variant-a": (999, 200)}, "min_sample_size"),
        ({"control": (10_000, 1_000), "variant-a": (10_000, 1_060)}, "min_confidence"),
        ({"control": (1_000_000, 100_000), "variant-a": (1_000_000, 104_900)}, "min_improvement"),
    ],
)
def test_one_failed_check_is_enough_to_be_ineligible(counts: dict[str, tuple[float, float]], failed: str) -> None:
    decision = last(evaluate(sums(counts), experiment()).decisions)
    assert decision["reasons"] == (failed,)
    assert not decision["is_eligible"]
    assert not decision["is_promotable"]


def test_thresholds_are_reached_at_equality() -> None:
    counts = {"control": (100_000, 10_000.0), "variant-a": (100_000, 10_500.0)}
    own = sums(counts, errors=5_000, hours=48)
    decision = last(evaluate(own, experiment(), config=PromotionConfig(min_sample_size=100_000)).decisions)
    assert (decision["improvement"], decision["error_rate"], decision["runtime_hours"]) == (5.0, 0.05, 48.0)
    assert decision["is_eligible"]


def test_the_runtime_is_counted_from_the_start_of_the_phase_to_the_end_of_the_hour() -> None:
    late = experiment(started_at=START + pd.Timedelta(minutes=30))
    decisions = evaluate(sums(WINNER), late).decisions.set_index("hour")
    assert decisions.loc[START + pd.Timedelta(hours=47), "runtime_hours"] == 47.5
    assert not decisions.loc[START + pd.Timedelta(hours=47), "min_runtime"]
    assert decisions.loc[START + pd.Timedelta(hours=48), "verdict"] == "eligible"


def test_a_treatment_that_is_significantly_behind_has_not_the_confidence() -> None:
    decision = last(evaluate(sums({"control": (10_000, 1_300), "variant-a": (10_000, 1_000)}), experiment()).decisions)
    assert decision["confidence"] > 99.9
    assert not decision["min_confidence"]
    assert "behind control" in explain(decision).checks[1].message


WORSE = {"control": (10_000, 1_300), "variant-a": (10_000, 1_000)}


def test_a_treatment_that_is_significantly_worse_is_rejected_and_waiting_is_not_advised() -> None:
    decision = last(evaluate(sums(WORSE), experiment()).decisions)
    assert decision["verdict"] == "rejected"
    assert explain(decision).summary == "enough data, and 'variant-a' is worse than control"
    ahead = outlook(decision, requests_per_hour=100.0)
    assert ahead is not None and ahead.hours is None
    assert all(need.hours is None and "to see" not in need.message for need in ahead.needs)


def test_a_treatment_that_is_worse_by_chance_or_too_early_is_not_rejected() -> None:
    noise = {"control": (10_000, 1_000), "variant-a": (10_000, 990)}
    assert last(evaluate(sums(noise), experiment()).decisions)["verdict"] == "not_yet"
    young = evaluate(sums(WORSE, hours=24), experiment()).decisions
    assert last(young)["verdict"] == "not_yet"
    few = {"control": (900, 300), "variant-a": (900, 100)}
    assert last(evaluate(sums(few), experiment()).decisions)["verdict"] == "not_yet"


def test_a_latency_of_exactly_20_percent_more_warns() -> None:
    for control in (0.7, 1.1, 3.3, 35.0, 110.1, 333.3):
        slower = {"control": control, "variant-a": control * 1.2}
        decision = last(evaluate(sums(WINNER, latency_ms=slower), experiment()).decisions)
        assert "higher_latency" in decision["warnings"], control
    less = {"control": 100.0, "variant-a": 119.99}
    assert "higher_latency" not in last(evaluate(sums(WINNER, latency_ms=less), experiment()).decisions)["warnings"]


def test_numbers_that_differ_are_not_worded_as_the_same_number() -> None:
    decision: dict[str, Any] = {**last(evaluate(sums(WINNER), experiment()).decisions)}
    almost = decision | {"confidence": 99.99999, "min_confidence_threshold": 99.9999999, "min_confidence": False}
    assert explain(almost).checks[1].message == "confidence 99.99999 < 99.9999999"
    certain = decision | {"warnings": ("sample_ratio_mismatch",), "srm_p_value": 0.0}
    assert "p < 1e-15" in explain(certain).warnings[0]
    early = decision | {"runtime_hours": -7.0, "min_runtime": False}
    assert (explain(early).checks[3].observed, "-" in explain(early).checks[3].message) == (0.0, False)


def test_too_many_errors_reject_a_winner() -> None:
    decision = last(evaluate(sums(WINNER, errors=501), experiment()).decisions)
    assert decision["verdict"] == "rejected"
    assert decision["reasons"] == ("error_rate_acceptable",)


def test_the_best_rate_among_passing_treatments_is_the_candidate() -> None:
    counts = {"control": (10_000, 1_000), "b": (10_000, 1_300), "a": (10_000, 1_250), "c": (400, 80)}
    arms = experiment(arms=("control", "b", "a", "c"))
    decision = last(evaluate(sums(counts), arms).decisions)
    assert decision["candidate_variant_name"] == "b"


def test_a_tie_goes_to_the_larger_sample_then_to_the_smaller_name() -> None:
    arms = experiment(arms=("control", "b", "a", "c"))
    counts = {"control": (10_000, 1_000), "b": (10_000, 1_300), "a": (10_000, 1_300), "c": (10_000, 1_300)}
    assert last(evaluate(sums(counts), arms).decisions)["candidate_variant_name"] == "a"
    counts["b"] = (20_000, 2_600)
    assert last(evaluate(sums(counts), arms).decisions)["candidate_variant_name"] == "b"


def test_without_a_passing_treatment_the_highest_z_is_the_candidate() -> None:
    counts = {"control": (10_000, 1_000), "a": (10_000, 990), "b": (10_000, 1_040)}
    decision = last(evaluate(sums(counts), experiment(arms=("control", "a", "b"))).decisions)
    assert decision["candidate_variant_name"] == "b"
    assert decision["verdict"] == "not_yet"


def test_an_experiment_overrides_the_config_and_a_missing_override_does_not() -> None:
    strict = experiment("strict", min_improvement_percent=50.0)
    usual = experiment("usual", min_improvement_percent=None)
    rollups = pd.concat([sums(WINNER, name="strict"), sums(WINNER, name="usual")])
    decisions = evaluate(rollups, pd.concat([strict, usual])).decisions
    assert last(decisions, "strict")["reasons"] == ("min_improvement",)
    assert last(decisions, "usual")["is_eligible"]


def test_eligible_without_the_always_valid_evidence_is_not_promotable() -> None:
    counts = {"control": (10_000, 1_000), "variant-a": (10_000, 1_090)}
    decision = last(evaluate(sums(counts), experiment()).decisions)
    assert decision["is_eligible"]
    assert not decision["is_promotable"]
    assert decision["lift_lower"] < 0 < decision["lift_upper"]
    assert "not_always_valid" in decision["warnings"]
    fixed = PromotionConfig(evidence=configuration.Evidence.FIXED_HORIZON)
    assert last(evaluate(sums(counts), experiment(), config=fixed).decisions)["is_promotable"]


def test_a_sample_ratio_mismatch_withholds_the_unattended_promotion_only() -> None:
    counts = {"control": (10_000, 1_000), "variant-a": (11_000, 1_500)}
    decision = last(evaluate(sums(counts), experiment()).decisions)
    assert decision["srm_p_value"] < 0.001
    assert decision["is_eligible"]
    assert not decision["is_promotable"]
    assert "sample_ratio_mismatch" in decision["warnings"]


def test_warnings_of_errors_latency_and_size_do_not_block() -> None:
    own = sums({"control": (900, 90), "variant-a": (900, 180)}, latency_ms={"control": 100.0, "variant-a": 120.0})
    own.loc[own["variant_id"] == "button/variant-a", "errors"] = [9] + [0] * 71
    decision = last(evaluate(own, experiment(), config=PromotionConfig(min_sample_size=900)).decisions)
    assert decision["is_eligible"]
    assert {"higher_error_rate", "higher_latency", "small_sample"} <= set(decision["warnings"])


def test_every_check_message_carries_both_numbers() -> None:
    explanation = explain(last(evaluate(sums({"control": (900, 90), "variant-a": (950, 99)}), experiment()).decisions))
    messages = {check.name: check.message for check in explanation.checks}
    assert messages["min_sample_size"] == "smaller arm 900 requests < 1,000 requests"
    assert messages["min_runtime"] == "runtime 72.0 hours >= 48.0 hours"
    assert messages["error_rate_acceptable"] == "error rate of the candidate 0.00 % <= 5.00 %"
    assert "4.21 % < 5.00 %" in messages["min_improvement"]


def test_a_confidence_short_of_certainty_is_not_worded_as_certainty() -> None:
    counts = {"control": (10_000, 1_000), "variant-a": (10_000, 1_184)}
    decision = last(evaluate(sums(counts), experiment()).decisions)
    assert 99.995 < decision["confidence"] < 100
    explanation = explain(decision)
    assert explanation.reasons == ("All safety checks passed: variant-a leads by 18.40 % at over 99.99 % confidence",)
    assert explanation.checks[1].message == "confidence over 99.99 % >= 95.00 %"
