"""What an attribution window does to a decision, besides hiding the youngest requests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation import evaluate
from promotion_pipeline_tests.evaluation.builders import START, experiment

HOURS = 144


def _stream() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    arms = np.repeat(["button/control", "button/variant-a"], HOURS)
    requests = rng.poisson(100, len(arms))
    return pd.DataFrame(
        {
            "experiment_id": "button",
            "variant_id": arms,
            "hour": np.tile(pd.date_range(START, periods=HOURS, freq="h"), 2),
            "requests": requests,
            "conversions": rng.binomial(requests, 0.1),
            "errors": 0,
        }
    )


def test_the_runtime_is_that_of_the_judged_requests() -> None:
    found = evaluate(_stream(), experiment(attribution_window_hours=24.0)).decisions.set_index("as_of")
    assert not found.loc[START + pd.Timedelta(hours=71), "min_runtime"]
    assert found.loc[START + pd.Timedelta(hours=72), "min_runtime"]
    assert found.loc[START + pd.Timedelta(hours=72), "runtime_hours"] == 48
    assert found.loc[START + pd.Timedelta(hours=12), "reasons"] == ("no_rows",)


def test_no_rollups_at_all_are_no_error() -> None:
    hour = START + pd.Timedelta(hours=3)
    found = evaluate(_stream().iloc[:0], experiment(), hours=[hour]).decisions
    assert found["reasons"].tolist() == [("no_rows",)]


def test_a_decision_does_not_depend_on_which_other_hours_are_asked_for() -> None:
    rollups, own = _stream(), experiment(attribution_window_hours=36.0)
    together = evaluate(rollups, own).decisions.set_index("hour")
    for age in (0, 20, 35, 40, 60, 84, 90, 140):
        hour = START + pd.Timedelta(hours=age)
        known = rollups[rollups["hour"] <= hour]
        alone = evaluate(known, own, hours=[hour]).decisions.set_index("hour")
        pd.testing.assert_frame_equal(alone, together.loc[[hour]], check_exact=True, check_categorical=False)


def test_runtime_counts_from_requests_that_no_decision_may_judge_yet() -> None:
    own = experiment(started_at=START - pd.Timedelta(days=9), attribution_window_hours=24.0)
    hour = START + pd.Timedelta(hours=4)
    found = evaluate(_stream(), own, hours=[hour]).decisions.iloc[0]
    assert (found["runtime_hours"], found["measured_since"]) == (5 - 24, START)
    assert found["reasons"] == ("no_rows",)
