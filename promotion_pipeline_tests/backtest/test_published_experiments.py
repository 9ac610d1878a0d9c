"""The table of docs/measured.md: two rules on the 99 published comparisons of an online retailer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from promotion_pipeline.backtest import parse_rule, replay, summarise
from promotion_pipeline.backtest.comparisons import as_comparisons
from promotion_pipeline.backtest.sources import FILE_START, from_asos_file, from_store
from promotion_pipeline.errors import InputError, NotFoundError
from promotion_pipeline.rollups.imports.sums import import_asos
from promotion_pipeline.store.database import Store

FILE = Path(__file__).parents[1] / "data" / "asos_digital_experiments.parquet"
RULES = [parse_rule("contract,min_improvement_percent=1"), parse_rule("unattended,min_improvement_percent=1")]


def _by_hand(minimum: float) -> dict[str, tuple[float, str]]:
    """Hour and outcome of each promotion by the contract, comparison by comparison in plain arithmetic."""
    looks = pd.read_parquet(FILE).query("metric_id == 1").sort_values("time_since_start")
    found = {}
    for (experiment, variant), own in looks.groupby(["experiment_id", "variant_id"]):
        n0, n1 = own["count_c"].to_numpy(), own["count_t"].to_numpy()
        x0, x1 = np.round(n0 * own["mean_c"]), np.round(n1 * own["mean_t"])
        pooled = (x0 + x1) / (n0 + n1)
        with np.errstate(all="ignore"):
            z = ((x1 / n1 - x0 / n0) / np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))).to_numpy()
            lift = (100 * (x1 / n1 * n0 / x0 - 1)).to_numpy()
        # An hour's decision is made at its end.
        age = np.round(own["time_since_start"].to_numpy() * 24) + 1
        sure = (100 * (1 - 2 * ndtr(-np.abs(z))) >= 95) & (z > 0)
        # Runtime counts from the start of the first hour in which both arms have users: the hour of the first look.
        runtime = age - (age - 1)[(n0 > 0) & (n1 > 0)].min()
        passed = np.flatnonzero(sure & (lift >= minimum) & (runtime >= 48) & (np.minimum(n0, n1) >= 1000))
        if len(passed):
            outcome = "reversed" if z[-1] <= -1.959964 else "kept" if lift[-1] > 0 else "faded"
            found[f"{experiment}/{variant}"] = (float(age[passed[0]]), outcome)
    return found


@pytest.fixture(scope="module")
def acts() -> pd.DataFrame:
    rules = [
        parse_rule(f"{rule},min_improvement_percent={minimum:g}")
        for minimum in (0, 0.5, 1, 2)
        for rule in ("contract", "unattended")
    ]
    return replay(*as_comparisons(*from_asos_file(FILE)), rules)


@pytest.mark.parametrize("minimum", [0, 0.5, 1, 2])
def test_the_contract_promotes_what_plain_arithmetic_says(acts: pd.DataFrame, minimum: float) -> None:
    own = acts[(acts["rule"] == f"contract,min_improvement_percent={minimum:g}") & acts["is_promoted"]]
    ids = own["experiment_id"].str.removeprefix("asos-").str.partition("/")[0]
    found = {
        f"{name}/{variant.removeprefix('variant-')}": (hours, outcome)
        for name, variant, hours, outcome in zip(ids, own["variant_name"], own["hours"], own["outcome"], strict=True)
    }
    assert found == _by_hand(minimum)


def test_the_unattended_rule_promotes_a_subset_and_none_with_a_sample_ratio_mismatch(acts: pd.DataFrame) -> None:
    records = summarise(acts)
    assert all((record.experiments, record.srm) == (99, 12) for record in records)
    for contract, unattended in zip(records[::2], records[1::2], strict=True):
        assert unattended.promoted < contract.promoted
        assert unattended.faded + unattended.reversed < contract.faded + contract.reversed
        assert unattended.promoted_with_srm == 0
        assert unattended.withheld == contract.promoted - unattended.promoted
    assert records[0].promoted_with_srm == 3


def test_the_database_gives_what_the_file_gives(store: Store) -> None:
    start = pd.Timestamp("2026-01-01T00:00:00Z")
    import_asos(store, FILE, start.to_pydatetime())
    from_database = replay(*as_comparisons(*from_store(store)), RULES)
    from_file = replay(*as_comparisons(*from_asos_file(FILE)), RULES)
    assert start == FILE_START
    same = ["rule", "name", "looks", "is_promoted", "promoted_at", "hours", "lift", "final_z", "outcome", "has_srm"]
    pd.testing.assert_frame_equal(from_database[same], from_file[same], check_dtype=False, check_exact=False, rtol=1e-9)
    rollups, experiments = from_store(store, ["asos-2c8a04"])
    assert experiments["name"].unique().tolist() == ["asos-2c8a04"]
    assert rollups["experiment_id"].nunique() == 1
    with pytest.raises(NotFoundError, match="asos-nobody"):
        from_store(store, ["asos-nobody"])


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("experiment,hour\na,b\n")
    with pytest.raises(InputError, match="not the ASOS file"):
        from_asos_file(other)
