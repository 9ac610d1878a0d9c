"""Runtime counts from when both arms had requests: age in which nothing was measured is none."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from promotion_pipeline.evaluation import evaluate, explain
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums

GOOD = {"control": (10_000, 1_000), "variant-a": (10_000, 1_300)}
LATER = START + pd.Timedelta(days=30)


def _decided(rows: pd.DataFrame, **columns: Any) -> pd.Series:
    return last(evaluate(rows, experiment(**columns)).decisions)


def test_two_hours_of_data_in_a_phase_of_thirty_days_are_two_hours_of_runtime() -> None:
    decision = _decided(sums(GOOD, start=LATER, hours=2))
    assert decision["runtime_hours"] == 2
    assert not decision["min_runtime"] and not decision["is_eligible"]
    assert decision["measured_since"] == LATER
    (check,) = (check for check in explain(decision).checks if check.name == "min_runtime")
    assert check.message == (
        "runtime 2.0 hours < 48.0 hours, counted from 2026-01-31 00:00 UTC: both arms had requests from then on"
    )


def test_the_later_of_the_two_arms_counts() -> None:
    early = sums({"control": GOOD["control"]}, hours=100)
    late = sums({"variant-a": GOOD["variant-a"]}, start=START + pd.Timedelta(hours=70), hours=30)
    decision = _decided(pd.concat([early, late]))
    assert decision["runtime_hours"] == 30
    assert not decision["min_runtime"]


def test_each_treatment_has_its_own_runtime() -> None:
    """Were the younger one not held back it would be the candidate: its rate is higher."""
    arms = ("control", "older", "younger")
    older = sums({"control": (10_000, 1_000), "older": (10_000, 1_300)}, hours=72)
    younger = sums({"younger": (10_000, 1_500)}, start=START + pd.Timedelta(hours=60), hours=12)
    decision = _decided(pd.concat([older, younger]), arms=arms)
    assert (decision["candidate_variant_name"], decision["runtime_hours"]) == ("older", 72)


def test_a_first_request_counts_from_the_start_of_its_hour_and_never_from_before_the_phase() -> None:
    begun = START + pd.Timedelta(minutes=20)
    decision = _decided(sums(GOOD, hours=50), started_at=begun)
    assert decision["runtime_hours"] == pytest.approx(50 - 1 / 3)
    assert pd.isna(decision["measured_since"])


def test_the_attribution_window_is_subtracted_as_before() -> None:
    decision = _decided(sums(GOOD, start=LATER, hours=60), attribution_window_hours=24)
    assert decision["runtime_hours"] == 36


def test_an_hour_before_the_first_request_has_no_runtime_whatever_came_later() -> None:
    rows = sums(GOOD, start=LATER, hours=2)
    hours = pd.DatetimeIndex([LATER - pd.Timedelta(hours=5)])
    decision = evaluate(rows, experiment(), hours=hours).decisions.iloc[0]
    assert decision["runtime_hours"] == 0
    assert not decision["min_runtime"]
    assert pd.isna(decision["measured_since"])


def test_a_silent_arm_is_named() -> None:
    only_control = sums({"control": (10_000, 1_000), "variant-a": (0, 0)})
    only_treatment = sums({"control": (0, 0), "variant-a": (10_000, 1_000)})
    said = [explain(_decided(rows)).reasons for rows in (only_control, only_treatment)]
    assert said == [
        ("every treatment has no requests; check the assignment",),
        ("control has no requests; check the assignment",),
    ]


@pytest.mark.parametrize(("conversions", "who"), [(0, "nobody"), (1_000, "everybody")])
def test_what_leaves_no_variation_is_named(conversions: int, who: str) -> None:
    decision = _decided(sums({"control": (1_000, conversions), "variant-a": (1_000, conversions)}))
    assert explain(decision).reasons == (f"{who} converted in both arms; there is nothing to compare",)
