"""The published experiments of an online retailer, from the file through the database to the decisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups.imports.sums import import_asos
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Store

FILE = Path(__file__).parents[1] / "data" / "asos_digital_experiments.parquet"


@pytest.fixture
def imported(store: Store) -> Evaluation:
    """The newest decision about each of the 78 imported experiments."""
    import_asos(store, FILE)
    with store.connect() as connection:
        row = connection.execute("SELECT max(hour) AS hour FROM hourly_variant_rollups").fetchone()
    assert row is not None
    end = row["hour"] + pd.Timedelta(hours=1)
    rollups = read_rollups(store, row["hour"], end)
    return evaluate(rollups, read_experiments(store, row["hour"], end), hours=[row["hour"]])


def _from_the_file() -> pd.Series:
    """z of the pooled test at the last look of each comparison, by plain arithmetic."""
    looks = pd.read_parquet(FILE).query("metric_id == 1").sort_values("time_since_start")
    final = looks.groupby(["experiment_id", "variant_id"], as_index=False).last()
    n0, n1 = final["count_c"], final["count_t"]
    x0, x1 = (n0 * final["mean_c"]).round(), (n1 * final["mean_t"]).round()
    pooled = (x0 + x1) / (n0 + n1)
    final["z"] = (x1 / n1 - x0 / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
    final["name"] = "asos-" + final["experiment_id"].astype(str)
    final["variant_name"] = "variant-" + final["variant_id"].astype(str)
    return final.set_index(["name", "variant_name"])["z"]


def _names(store: Store) -> dict[str, str]:
    with store.connect() as connection:
        rows = connection.execute("SELECT id::text, name FROM ab_experiments").fetchall()
    return {row["id"]: row["name"] for row in rows}


def _by_name(store: Store, found: Evaluation) -> pd.DataFrame:
    significance = found.significance.assign(name=found.significance["experiment_id"].astype(object).map(_names(store)))
    return significance.set_index(["name", "variant_name"])


def test_the_final_z_of_each_of_the_99_comparisons_is_that_of_the_file(store: Store, imported: Evaluation) -> None:
    expected = _from_the_file()
    found = _by_name(store, imported).loc[expected.index, "z"]
    assert len(found) == 99
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=0, atol=1e-9)


def test_without_a_minimum_improvement_the_winners_are_those_of_the_file(store: Store, imported: Evaluation) -> None:
    expected = _from_the_file()
    significant = expected.abs() >= 1.959963984540054
    assert (significant & (expected > 0)).sum() == 16
    assert (significant & (expected < 0)).sum() == 10
    confidence = _by_name(store, imported).loc[expected.index, "confidence"]
    assert ((confidence >= 95) == significant).all()
    found = {
        e.experiment_name for e in assess(store, None, PromotionConfig(min_improvement_percent=0)) if e.is_eligible
    }
    winners = set(expected[significant & (expected > 0)].index.get_level_values("name"))
    assert found == winners


def test_experiments_with_a_sample_ratio_mismatch_are_held_back(store: Store, imported: Evaluation) -> None:
    looks = pd.read_parquet(FILE).query("metric_id == 1").sort_values("time_since_start")
    final = looks.groupby(["experiment_id", "variant_id"], as_index=False).last()
    counts = final[["count_c", "count_t"]].to_numpy()
    mismatch = chisquare(counts, axis=1).pvalue < 0.001
    assert mismatch.sum() == 12
    decisions = imported.decisions.assign(
        name=imported.decisions["experiment_id"].astype(object).map(_names(store))
    ).set_index("name")
    two_arms = ~final["experiment_id"].duplicated(keep=False).to_numpy()
    with_mismatch = "asos-" + final["experiment_id"][mismatch & two_arms].astype(str)
    without = "asos-" + final["experiment_id"][~mismatch & two_arms].astype(str)
    assert (decisions["srm_p_value"].loc[with_mismatch] < 0.001).all()
    assert (decisions["srm_p_value"].loc[without] >= 0.001).all()
    assert not decisions[decisions["srm_p_value"] < 0.001]["is_promotable"].any()
