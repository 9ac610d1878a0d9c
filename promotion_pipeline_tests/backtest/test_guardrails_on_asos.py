"""The four metrics of the published comparisons: the file's own numbers, and the table of rules with guardrails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from promotion_pipeline.backtest import replay
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline_tests.backtest.guardrails_on_asos import (
    FILE,
    METRICS,
    finally_worse,
    frames,
    rules,
    stated,
    telling,
)

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def published() -> Frames:
    return frames()


def _last_looks() -> pd.DataFrame:
    """Of each comparison and metric the last look with a variance, as the file has it."""
    looks = pd.read_parquet(FILE).dropna(subset=["variance_c", "variance_t"]).sort_values("time_since_start")
    last = looks.drop_duplicates(["experiment_id", "variant_id", "metric_id"], keep="last")
    return last.assign(
        metric="metric-" + last["metric_id"].astype(str),
        key="asos-" + last["experiment_id"].astype(str) + "/variant-" + last["variant_id"].astype(str),
    ).set_index(["key", "metric"])


def test_every_final_statistic_is_the_files_own(published: Frames) -> None:
    rollups, experiments, metrics = published
    told = telling(experiments, stated("secondary"))
    found = evaluate(rollups, told, hours=[rollups["hour"].max()], metrics=metrics).metric_results
    found = found.assign(key=found["variant_id"].astype(str), metric=found["metric"].astype(str))
    own, file = found.set_index(["key", "metric"]), _last_looks()
    assert (len(own), len(file)) == (99 * len(METRICS), 381)
    assert set(own.loc[~own.index.isin(file.index), "reason"]) == {"no_rows"}
    own = own.loc[file.index]
    n0, n1 = file["count_c"], file["count_t"]
    # Of the yes or no of metric 1 the file has the variance p (1 - p), of all users and not of a sample.
    correct = np.where(file["metric_id"] == 1, 1.0, 0.0)
    v0 = file["variance_c"] * (1 + correct / (n0 - 1)) / n0
    v1 = file["variance_t"] * (1 + correct / (n1 - 1)) / n1
    t = (file["mean_t"] - file["mean_c"]) / np.sqrt(v0 + v1)
    freedom = (v0 + v1) ** 2 / (v0**2 / (n0 - 1) + v1**2 / (n1 - 1))
    expected = {
        "control_estimate": file["mean_c"],
        "estimate": file["mean_t"],
        "control_sample": n0,
        "sample": n1,
        "difference": file["mean_t"] - file["mean_c"],
        "standard_error": np.sqrt(v0 + v1),
        "lift": file["mean_t"] / file["mean_c"] - 1,
        "p_value": 2 * stats.t.sf(np.abs(t), freedom),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(own[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_guardrails_keep_a_subset_of_the_promotions(published: Frames) -> None:
    rollups, experiments, metrics = published
    acts = replay(rollups, experiments, rules(), metrics=metrics)
    promoted = {rule: set(own.loc[own["is_promoted"], "name"]) for rule, own in acts.groupby("rule")}
    assert {rule: len(names) for rule, names in promoted.items()} == {
        "contract": 23,
        "unattended": 10,
        "and no harm to the other three": 10,
        "and each less than 5 % worse": 10,
        "and each less than 2 % worse": 10,
        "and each less than 1 % worse": 9,
        "the four metrics as goals instead": 10,
    }
    assert promoted["and each less than 1 % worse"] < promoted["unattended"]
    worse = finally_worse(rollups, experiments, metrics)
    assert worse
    assert not worse & {key for names in promoted.values() for key in names}
