"""What is missing and when it could be there, checked by letting that much more traffic come."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from promotion_pipeline.evaluation import Outlook, evaluate, outlook
from promotion_pipeline_tests.evaluation.builders import START, experiment, last

REQUESTS_PER_HOUR = 200


def _decision(hours: float, rate: float, control_rate: float = 0.05, **columns: Any) -> pd.Series:
    """Both arms at their rates exactly, 200 requests an hour each, after `hours`."""
    requests = REQUESTS_PER_HOUR * hours
    rows = pd.DataFrame(
        {
            "experiment_id": "button",
            "variant_id": ["button/control", "button/variant-a"],
            "hour": START,
            "requests": requests,
            "conversions": [control_rate * requests, rate * requests],
            "errors": 0,
        }
    )
    hour = START + pd.Timedelta(hours=max(0, round(hours) - 1))
    return last(evaluate(rows, experiment(**columns), hours=[hour]).decisions)


def _outlook(decision: pd.Series) -> Outlook:
    found = outlook(decision)
    assert found is not None
    return found


def _hours_of(found: Outlook, what: str) -> float:
    hours = next(need.hours for need in found.needs if need.what == what)
    assert hours is not None
    return hours


def test_a_young_experiment_waits_for_runtime_and_sample() -> None:
    found = _outlook(_decision(3, 0.07))
    assert _hours_of(found, "min_runtime") == 45
    assert _hours_of(found, "min_sample_size") == pytest.approx(2)
    assert found.needs[0].message == "needs 45 more hours to reach the minimum runtime"
    assert found.needs[1].message == "needs about 2 more hours for 400 more requests in the smaller arm"


@pytest.mark.parametrize("lift", [0.06, 0.08])
def test_after_the_wait_for_confidence_the_check_passes_and_shortly_before_it_does_not(lift: float) -> None:
    hours = 50
    wait = _hours_of(_outlook(_decision(hours, 0.05 * (1 + lift))), "min_confidence")
    assert _decision(hours + wait + 1, 0.05 * (1 + lift))["min_confidence"]
    assert not _decision(hours + wait - 1, 0.05 * (1 + lift))["min_confidence"]


def test_under_the_minimum_improvement_the_wait_is_for_seeing_the_minimum() -> None:
    hours = 50
    found = _outlook(_decision(hours, 0.05 * 1.02))
    wait = _hours_of(found, "min_confidence")
    confirmed = _decision(round(hours + wait), 0.05 * 1.05)
    assert confirmed["confidence"] == pytest.approx(95, abs=0.5)
    assert any("to see +5 %" in need.message for need in found.needs)
    assert found.hours is None, "time does not bring the improvement"


def test_an_eligible_experiment_without_evidence_waits_for_the_always_valid_interval() -> None:
    hours, rate = 62, 0.05 * 1.13
    decision = _decision(hours, rate)
    assert decision["is_eligible"] and not decision["is_promotable"]
    found = _outlook(decision)
    wait = _hours_of(found, "evidence")
    assert found.hours == wait
    assert _decision(round(hours + 1.3 * wait), rate)["is_promotable"]
    assert not _decision(round(hours + 0.5 * wait), rate)["is_promotable"]


def test_nothing_is_missing_where_the_experiment_is_promotable() -> None:
    found = _outlook(_decision(200, 0.05 * 1.3))
    assert found == Outlook(hours=0.0, needs=())


def test_waiting_does_not_help_a_candidate_that_is_behind_without_a_minimum() -> None:
    found = _outlook(_decision(50, 0.05 * 0.99, min_improvement_percent=0.0))
    assert found.hours is None
    assert "not ahead of control" in found.needs[0].message


def test_data_that_cannot_be_judged_has_no_outlook() -> None:
    assert outlook(_decision(50, 0.0, control_rate=0.0)) is None


def test_traffic_that_stopped_gives_no_date() -> None:
    found = outlook(_decision(3, 0.07), requests_per_hour=0.0)
    assert found is not None and found.hours is None
    assert any("no traffic" in need.message for need in found.needs)
