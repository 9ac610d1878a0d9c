"""Input that cannot be judged gets a verdict and a reason, and leaves the other experiments alone."""

from __future__ import annotations

import warnings
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}


def _with_one(change: dict[str, float], rows: int = 1) -> pd.DataFrame:
    own = sums(GOOD).astype({"requests": float, "conversions": float, "errors": float})
    own.loc[own.index[:rows], list(change)] = list(change.values())
    return own


BAD_ROLLUPS = {
    "conversions exceed requests": (_with_one({"conversions": 10_001}), "error", "counts_impossible"),
    "errors exceed requests": (_with_one({"errors": 10_001}), "error", "counts_impossible"),
    "negative requests": (_with_one({"requests": -5}), "error", "counts_impossible"),
    "a NaN count": (_with_one({"requests": np.nan}), "error", "not_a_number"),
    "an infinite latency": (_with_one({"latency_ms_sum": np.inf}), "error", "not_a_number"),
    "no conversions": (sums({"control": (5000, 0), "variant-a": (5000, 0)}), "inconclusive", "no_variation"),
    "everybody converts": (sums({"control": (5000, 5000), "variant-a": (5000, 5000)}), "inconclusive", "no_variation"),
    "control never converts": (
        sums({"control": (5000, 0), "variant-a": (5000, 50)}),
        "inconclusive",
        "control_rate_zero",
    ),
    "no treatment rows": (sums({"control": (5000, 500)}), "inconclusive", "zero_requests"),
    "no control rows": (sums({"variant-a": (5000, 500)}), "inconclusive", "zero_requests"),
    "only zeros": (sums({"control": (0, 0), "variant-a": (0, 0)}), "inconclusive", "no_rows"),
    "a variant that nobody declared": (sums(GOOD | {"undeclared": (10, 1)}), "error", "unknown_variant"),
}


@pytest.mark.parametrize("name", BAD_ROLLUPS)
def test_rollups_that_cannot_be_judged_are_named_and_spare_the_others(name: str) -> None:
    rollups, verdict, reason = BAD_ROLLUPS[name]
    both = pd.concat([rollups, sums(GOOD, name="healthy")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decisions = evaluate(both, pd.concat([experiment(), experiment("healthy")])).decisions
    assert last(decisions)["verdict"] == verdict
    assert reason in last(decisions)["reasons"]
    assert not last(decisions)["is_eligible"]
    assert last(decisions, "healthy")["is_promotable"]


BAD_EXPERIMENTS = {
    "no control": (experiment().assign(is_control=False), "inconclusive", "no_control"),
    "two controls": (experiment().assign(is_control=True), "error", "several_controls"),
    "one variant": (experiment(arms=("control",)), "inconclusive", "no_treatment"),
    "a split of 90": (experiment(split=[45, 45]), "inconclusive", "split_not_100"),
    "a split that is NaN": (experiment(split=[50, np.nan]), "inconclusive", "split_not_100"),
    "thresholds that are not valid": (experiment(config_error="max_error_rate=5"), "error", "invalid_config"),
    "no start": (
        experiment().assign(started_at=pd.Series([pd.NaT] * 2, dtype="datetime64[us, UTC]")),
        "error",
        "not_a_number",
    ),
    "a future start": (experiment(started_at=START + pd.Timedelta(days=30)), "inconclusive", "not_started"),
}


@pytest.mark.parametrize("name", BAD_EXPERIMENTS)
def test_experiments_that_cannot_be_judged_are_named_and_spare_the_others(name: str) -> None:
    own, verdict, reason = BAD_EXPERIMENTS[name]
    own_rows = sums(GOOD)
    rollups = pd.concat([own_rows[own_rows["variant_id"].isin(own["variant_id"])], sums(GOOD, name="healthy")])
    decisions = evaluate(rollups, pd.concat([own, experiment("healthy")])).decisions
    assert last(decisions)["verdict"] == verdict
    assert reason in last(decisions)["reasons"]
    assert not last(decisions)["is_eligible"]
    assert last(decisions, "healthy")["is_promotable"]


def test_a_split_in_rounded_thirds_is_accepted() -> None:
    arms = ("control", "a", "b")
    counts = {"control": (10_000, 1_000), "a": (10_000, 1_300), "b": (10_000, 1_000)}
    assert last(evaluate(sums(counts), experiment(arms=arms, split=[33.33] * 3)).decisions)["is_promotable"]


def test_a_fallen_sum_is_an_error_unless_the_source_corrects_its_sums() -> None:
    own = sums(GOOD)
    own.loc[own.index[5], "conversions"] = -7
    assert last(evaluate(own, experiment()).decisions)["reasons"] == ("counts_impossible",)
    corrected = last(evaluate(own, experiment(allows_corrections=True)).decisions)
    assert corrected["is_eligible"]
    assert "corrected_counts" in corrected["warnings"]


def test_a_silent_variant_is_a_warning_while_another_can_be_judged() -> None:
    arms = ("control", "variant-a", "silent")
    decision = last(evaluate(sums(GOOD), experiment(arms=arms)).decisions)
    assert decision["is_eligible"]
    assert "variant_without_requests" in decision["warnings"]
    assert not decision["is_promotable"]


def test_names_with_quotes_spaces_and_non_ascii_characters_are_kept() -> None:
    name = 'l\'été "24"; DROP TABLE — 実験'
    decisions = evaluate(sums(GOOD, name=name), experiment(name)).decisions
    assert last(decisions, name)["is_promotable"]


def test_naive_times_are_refused_with_the_value_and_the_remedy() -> None:
    naive = sums(GOOD).assign(hour=lambda f: f["hour"].dt.tz_localize(None))
    with pytest.raises(InputError, match=r"hour=.*no time zone.*tz='UTC'"):
        evaluate(naive, experiment())
    with pytest.raises(InputError, match="hours"):
        evaluate(sums(GOOD), experiment(), hours=[datetime(2026, 1, 1)])  # noqa: DTZ001


def test_an_hour_that_is_not_the_start_of_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"00:30:00.*not the start of an hour"):
        evaluate(sums(GOOD), experiment(), hours=[START + pd.Timedelta(minutes=30)])


def test_missing_columns_are_listed() -> None:
    with pytest.raises(InputError, match=r"\['requests'\]"):
        evaluate(sums(GOOD).drop(columns="requests"), experiment())
    with pytest.raises(InputError, match=r"\['is_control'\]"):
        evaluate(sums(GOOD), experiment().drop(columns="is_control"))


def test_a_variant_listed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        evaluate(sums(GOOD), pd.concat([experiment(), experiment()]))


def test_empty_frames_give_empty_frames() -> None:
    nothing = evaluate(sums(GOOD).iloc[:0], experiment().iloc[:0])
    assert (len(nothing.metrics), len(nothing.significance), len(nothing.decisions)) == (0, 0, 0)
    assert "verdict" in nothing.decisions.columns


def test_experiments_without_any_rollup_are_inconclusive_at_the_hours_asked_for() -> None:
    decisions = evaluate(sums(GOOD).iloc[:0], experiment(), hours=[START]).decisions
    assert decisions["verdict"].tolist() == ["inconclusive"]
    assert decisions["reasons"].tolist() == [("no_rows",)]
