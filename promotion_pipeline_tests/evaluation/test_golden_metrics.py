"""`metric_results` against gbstats, tea-tasting and spotify-confidence, which were run on the same users."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from promotion_pipeline_tests.evaluation.golden_metrics import CASES, FILE, LIBRARIES, MARGIN, users
from promotion_pipeline_tests.evaluation.stated import judged, metric_rows, result

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
STATED: list[dict[str, Any]] = [
    {"name": "mean", "kind": "user_mean", "event": "purchase", "role": "secondary"},
    {"name": "proportion", "kind": "user_proportion", "event": "sign_up", "role": "secondary"},
    {"name": "ratio", "kind": "ratio", "numerator": "mean", "denominator": "proportion", "role": "secondary"},
    {
        "name": "cuped",
        "kind": "user_mean",
        "event": "purchase",
        "role": "secondary",
        "covariate": "same_metric_before",
    },
    {"name": "increase", "kind": "user_mean", "event": "a", "role": "guardrail", "margin_percent": 100 * MARGIN},
    {
        "name": "decrease",
        "kind": "user_mean",
        "event": "a",
        "role": "guardrail",
        "margin_percent": 100 * MARGIN,
        "direction": "decrease",
    },
]
ELSEWISE = {
    # p (1 - p) for the variance of a proportion, not n / (n - 1) times that.
    ("spotify-confidence", "proportion", "p_value"),
    # The adjusted variance of control times the squared ratio of means, as if the covariate grew with the lift. Later
    # sources of gbstats take the variance of ratio * post - theta * pre, as we do (kind `cuped` of the golden rows).
    ("gbstats", "cuped", "lift_lower"),
    ("gbstats", "cuped", "lift_upper"),
}
"""Where a library's definition is another one."""
TAIL = {"increase": 1.0, "decrease": -1.0}


def _sums(metric: str, arm: dict[str, float]) -> dict[str, float]:
    value = {"new_users": arm["n"], "value_sum": arm["y"], "user_value_sum_squares": arm["yy"]}
    match metric:
        case "proportion":
            return {"new_users": arm["n"], "value_sum": arm["p"], "user_value_sum_squares": arm["p"]}
        case "ratio":
            of_both = {"denominator_sum": arm["d"], "user_denominator_sum_squares": arm["dd"]}
            return value | of_both | {"user_value_denominator_sum_products": arm["yd"]}
        case "cuped":
            past = {"covariate_sum": arm["x"], "covariate_sum_squares": arm["xx"]}
            return value | past | {"user_value_covariate_sum_products": arm["yx"]}
        case _:
            return value


@cache
def _found(case: str) -> Any:
    arms = {
        "control": GOLDEN["cases"][case]["sums"]["control"],
        "variant-a": GOLDEN["cases"][case]["sums"]["treatment"],
    }
    names = [metric["name"] for metric in STATED]
    frames = [metric_rows(name, {arm: _sums(name, own) for arm, own in arms.items()}) for name in names]
    return judged(STATED, pd.concat(frames, ignore_index=True))


def test_every_library_was_run_on_every_case() -> None:
    assert GOLDEN["runs"].keys() == LIBRARIES.keys()
    assert all(own["says"].keys() == LIBRARIES.keys() for own in GOLDEN["cases"].values())


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", CASES)
def test_the_results_are_those_of_the_library(case: str, library: str) -> None:
    says = {name: own for name, own in GOLDEN["cases"][case]["says"][library].items() if name != "noninferiority"}
    for metric, expected in says.items():
        row = result(_found(case), metric)
        for name, value in expected.items():
            if name == "standard_error":
                value = abs(value)
            if (library, metric, name) in ELSEWISE:
                assert row[name] == pytest.approx(value, rel=0.02, abs=0.01)
                continue
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (metric, name)


@pytest.mark.parametrize("way", TAIL)
@pytest.mark.parametrize("case", CASES)
def test_non_inferiority_with_a_margin_taken_for_known_is_spotifys(case: str, way: str) -> None:
    row, (control, treatment) = result(_found(case), way), users(case)
    ahead = TAIL[way] * row["difference"] + MARGIN * row["control_estimate"]
    freedom = stats.ttest_ind(treatment["y"], control["y"], equal_var=False).df
    known = stats.t.sf(ahead / row["standard_error"], freedom)
    assert known == pytest.approx(GOLDEN["cases"][case]["says"]["spotify-confidence"]["noninferiority"][way], abs=1e-9)
    assert row["noninferiority_p_value"] != known


@pytest.mark.parametrize("way", TAIL)
@pytest.mark.parametrize("case", CASES)
def test_non_inferiority_counts_the_noise_of_the_margin_as_a_test_of_scaled_users_does(case: str, way: str) -> None:
    control, treatment = users(case)
    scaled = (1.0 - TAIL[way] * MARGIN) * control["y"]
    less, greater = (
        stats.ttest_ind(treatment["y"], scaled, equal_var=False, alternative="less").pvalue,
        stats.ttest_ind(treatment["y"], scaled, equal_var=False, alternative="greater").pvalue,
    )
    expected = {"increase": greater, "decrease": less}[way]
    row = result(_found(case), way)
    assert row["noninferiority_p_value"] == pytest.approx(float(expected), abs=1e-9)


def test_the_past_takes_out_as_much_variance_as_it_explains() -> None:
    control, treatment = users("many")
    y = np.concatenate([control["y"], treatment["y"]])
    x = np.concatenate([control["x"], treatment["x"]])
    row = result(_found("many"), "cuped")
    assert row["is_adjusted"]
    assert row["variance_reduction"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=0.01)
