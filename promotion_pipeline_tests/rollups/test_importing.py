"""Imports: what the file says is what is stored, or nothing is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.errors import ConflictError, InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.rollups.imports.sums import import_asos, import_rollups
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _rollups(experiment: str = "check'out ö", hours: int = 3, **columns: Any) -> pd.DataFrame:
    rows = [
        (experiment, variant, START + n * HOUR, 100 + n, conversions)
        for n in range(hours)
        for variant, conversions in (("control", 10), ("new button", 15))
    ]
    names = ["experiment", "variant", "hour", "requests", "conversions"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def _parquet(tmp_path: Path, frame: pd.DataFrame, name: str = "rollups.parquet") -> Path:
    frame.to_parquet(tmp_path / name)
    return tmp_path / name


def _asos(seed: int = 1) -> pd.DataFrame:
    """A file in the form of the dataset: one experiment with two treatments, one with one, looks every half day."""
    rng = np.random.default_rng(seed)
    rows = []
    for experiment, treatments in (("a1", (1, 2)), ("b2", (3,))):
        days = np.arange(1, 9) * 0.5
        control_n = np.cumsum(rng.integers(900, 1100, len(days))).astype(float)
        control_x = np.cumsum(rng.integers(90, 110, len(days)))
        for variant in treatments:
            n = np.cumsum(rng.integers(900, 1100, len(days))).astype(float)
            x = np.cumsum(rng.integers(90, 130, len(days)))
            if variant == 3:
                n[4], x[4] = n[3] - 5, x[3] - 2
            for metric in (1, 4):
                p0, p1 = control_x / control_n, x / n
                scale = 1.0 if metric == 1 else 20.0
                for look, day in enumerate(days):
                    means = (p0[look] * scale, p1[look] * scale)
                    variances = (p0[look] * (1 - p0[look]) * scale**2, p1[look] * (1 - p1[look]) * scale**2)
                    rows.append((experiment, variant, metric, day, control_n[look], n[look], *means, *variances))
    names = ["experiment_id", "variant_id", "metric_id", "time_since_start", "count_c", "count_t", "mean_c", "mean_t"]
    return pd.DataFrame(rows, columns=[*names, "variance_c", "variance_t"])


def test_a_parquet_file_is_stored_as_it_is(store: Store, connection: Connection, tmp_path: Path) -> None:
    result = import_rollups(store, _parquet(tmp_path, _rollups(errors=1, value_sum=2.5, value_sum_squares=9.0)))
    assert (result.experiments, result.variants, result.rows) == (("check'out ö",), 2, 6)
    assert (result.negative_increments, result.warnings) == (0, ())
    assert (result.first_hour, result.last_hour) == (START, START + 2 * HOUR)
    experiment = connection.execute("SELECT name, start_date, rollup_source, is_active FROM ab_experiments").fetchone()
    assert experiment == {"name": "check'out ö", "start_date": START, "rollup_source": "imported", "is_active": True}
    split = connection.execute("SELECT name, is_control, traffic_percentage::float8 AS p FROM ab_variants").fetchall()
    assert {tuple(row.values()) for row in split} == {("control", True, 50.0), ("new button", False, 50.0)}
    stored = read_rollups(store, None, START + 3 * HOUR)
    assert stored[["requests", "conversions", "errors"]].sum().to_list() == [606, 75, 6]
    assert stored["value_sum"].sum() == 15.0
    assert len(rollups_as_of(store, START + 3 * HOUR)) == 6


def test_a_csv_file_with_other_names_is_mapped(store: Store, tmp_path: Path) -> None:
    frame = _rollups().rename(columns={"experiment": "test", "requests": "n", "conversions": "x", "variant": "arm"})
    frame["holdout"] = np.where(frame["arm"] == "control", "no", "yes")
    frame.to_csv(tmp_path / "sums.csv", index=False)
    mapping = {"experiment": "test", "requests": "n", "conversions": "x", "variant": "arm", "is_control": "holdout"}
    assert import_rollups(store, str(tmp_path / "sums.csv"), mapping).rows == 6
    experiments = read_experiments(store, START, START + 3 * HOUR)
    assert set(experiments[experiments["is_control"]]["variant_name"]) == {"new button"}


def test_newer_hours_are_added_and_known_hours_replaced(store: Store, connection: Connection, tmp_path: Path) -> None:
    import_rollups(store, _parquet(tmp_path, _rollups(hours=3)))
    connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 70 ELSE 30 END")
    later = _rollups(hours=5, requests=1000).iloc[4:]
    import_rollups(store, _parquet(tmp_path, later))
    stored = read_rollups(store, None, START + 100 * HOUR)
    assert stored.groupby("hour")["requests"].sum().to_list() == [200, 202, 2000, 2000, 2000]
    assert connection.execute("SELECT max(traffic_percentage)::int AS p FROM ab_variants").fetchone() == {"p": 70}


def test_cumulative_sums_become_increments(store: Store, tmp_path: Path) -> None:
    frame = _rollups().assign(requests=[100, 100, 250, 260, 240, 400], conversions=[10, 10, 20, 30, 25, 40])
    result = import_rollups(store, _parquet(tmp_path, frame), cumulative=True)
    assert result.negative_increments == 1
    assert "1 rows a sum fell" in result.warnings[0]
    stored = read_rollups(store, None, START + 3 * HOUR)
    assert stored[["requests", "conversions"]].sum().to_list() == [640, 65]
    assert stored["requests"].min() == -10


def test_an_even_split_sums_to_100(store: Store, connection: Connection, tmp_path: Path) -> None:
    frame = pd.concat([_rollups().assign(variant=name) for name in ("control", "a", "b")]).drop_duplicates(
        ["variant", "hour"]
    )
    import_rollups(store, _parquet(tmp_path, frame))
    rows = connection.execute("SELECT name, traffic_percentage::float8 AS p FROM ab_variants ORDER BY name").fetchall()
    assert [tuple(row.values()) for row in rows] == [("a", 33.33), ("b", 33.33), ("control", 33.34)]


def test_an_experiment_without_control_is_imported_and_said(store: Store, tmp_path: Path) -> None:
    frame = pd.concat([_rollups("good"), _rollups("bad").assign(variant=["x", "y"] * 3)])
    result = import_rollups(store, _parquet(tmp_path, frame))
    assert result.rows == 12
    assert "1 experiments have no control (bad)" in result.warnings[0]


def test_rollups_of_imported_experiments_survive_the_hourly_run(store: Store, tmp_path: Path) -> None:
    import_rollups(store, _parquet(tmp_path, _rollups()))
    rollup_window(store, START, START + 3 * HOUR)
    assert read_rollups(store, None, START + 3 * HOUR)["requests"].sum() == 606


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": [1, None, 3, 4, 5, 6]}, r"requests is missing or no number in row 2"),
        ({"conversions": 1.5}, "conversions is not a whole number"),
        ({"hour": "2026-01-01 00:00"}, "no time with a zone"),
        ({"hour": "yesterday+00:00"}, "hour is no time"),
        ({"hour": pd.Timestamp("2026-01-01")}, "no time with a zone"),
        ({"hour": START}, "twice for one variant"),
        ({"hour": [pd.Timestamp("2100-01-01", tz="UTC") + n * HOUR for n in range(6)]}, "newest complete hour"),
        ({"variant": " "}, "variant is missing"),
        ({"is_control": "maybe"}, "neither true nor false"),
        ({"traffic_percentage": 101.0}, "not between 0 and 100"),
        ({"new_users": 5}, "all of them or none"),
    ],
)
def test_a_bad_value_refuses_the_whole_file(
    store: Store, connection: Connection, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        import_rollups(store, _parquet(tmp_path, _rollups().assign(**change)))
    assert connection.execute("SELECT count(*) AS n FROM ab_experiments").fetchone() == {"n": 0}


def test_a_file_that_cannot_be_read_is_a_clear_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR0 nonsense")
    (tmp_path / "empty.csv").write_text("")
    for name, words in (
        ("absent.csv", "no such file"),
        ("x.xlsx", "must end in"),
        ("broken.parquet", "cannot be read"),
        ("empty.csv", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            import_rollups(store, tmp_path / name)
    path = _parquet(tmp_path, _rollups().drop(columns="conversions"))
    with pytest.raises(InputError, match="lacks the columns"):
        import_rollups(store, path)
    with pytest.raises(InputError, match="did you mean 'requests'"):
        import_rollups(store, path, {"request": "n"})
    with pytest.raises(InputError, match="no such column"):
        import_rollups(store, path, {"conversions": "n"})
    with pytest.raises(InputError, match="not the ASOS file"):
        import_asos(store, path)


def test_experiments_fed_by_requests_are_not_overwritten(store: Store, tmp_path: Path) -> None:
    seed_experiment(store, "mine", [VariantSpec("control", True, requests=10), VariantSpec("b")])
    with pytest.raises(ConflictError, match="'mine'"):
        import_rollups(store, _parquet(tmp_path, _rollups("mine")))


def test_asos_looks_give_the_z_of_the_file(store: Store, connection: Connection, tmp_path: Path) -> None:
    data = _asos()
    result = import_asos(store, _parquet(tmp_path, data), START)
    assert result.experiments == ("asos-a1", "asos-b2")
    assert (result.variants, result.rows, result.negative_increments) == (5, 5 * 8, 1)
    assert (result.first_hour, result.last_hour) == (START + 12 * HOUR, START + 96 * HOUR)
    as_of = START + 97 * HOUR
    experiments = read_experiments(store, as_of - HOUR, as_of)
    found = evaluate(rollups_as_of(store, as_of), experiments, hours=[as_of - HOUR]).significance
    names = experiments.set_index("variant_id")[["name", "variant_name"]]
    z = {tuple(names.loc[str(row.variant_id)]): row.z for row in found.itertuples()}
    last = data[(data["metric_id"] == 1) & (data["time_since_start"] == 4.0)]
    pooled = (last.count_c * last.mean_c + last.count_t * last.mean_t) / (last.count_c + last.count_t)
    expected = (last.mean_t - last.mean_c) / np.sqrt(pooled * (1 - pooled) * (1 / last.count_c + 1 / last.count_t))
    keys = zip("asos-" + last["experiment_id"], "variant-" + last["variant_id"].astype(str), strict=True)
    assert z == pytest.approx(dict(zip(keys, expected, strict=True)), abs=1e-9)
    control = connection.execute(
        "SELECT sum(value_sum) AS value FROM hourly_variant_rollups JOIN ab_variants ON id = variant_id"
        " WHERE name = 'control'"
    ).fetchone()
    final = data[(data["metric_id"] == 4) & (data["time_since_start"] == 4.0)].drop_duplicates("experiment_id")
    assert control is not None
    assert control["value"] == pytest.approx((final["count_c"] * final["mean_c"]).sum())


def test_asos_can_be_imported_again_with_another_start(store: Store, connection: Connection, tmp_path: Path) -> None:
    path = _parquet(tmp_path, _asos())
    import_asos(store, path, START)
    import_asos(store, path, START + 24 * HOUR)
    found = connection.execute("SELECT count(*) AS n, min(hour) AS first FROM hourly_variant_rollups").fetchone()
    assert found == {"n": 40, "first": START + 36 * HOUR}
    phases = connection.execute("SELECT DISTINCT started_at FROM ab_experiment_phases").fetchall()
    assert phases == [{"started_at": START + 24 * HOUR}]
    latest = import_asos(store, path)
    assert latest.last_hour > datetime.now(UTC) - 3 * HOUR
    connection.execute("UPDATE ab_variants SET traffic_percentage = 100 - traffic_percentage / 2")
    with pytest.raises(ConflictError, match="changed their split"):
        import_asos(store, path)


def test_asos_without_a_variance_leaves_the_value_out(store: Store, tmp_path: Path) -> None:
    data = _asos()
    data.loc[(data["experiment_id"] == "b2") & (data["metric_id"] == 4), "variance_t"] = np.nan
    result = import_asos(store, _parquet(tmp_path, data), START)
    assert "the value metric of 1 experiments is left out" in result.warnings[0]
    by_experiment = read_rollups(store, None, START + 97 * HOUR).groupby("experiment_id")["value_sum_squares"].sum()
    assert sorted(by_experiment > 0) == [False, True]


@pytest.mark.parametrize("column", ["conversions", "errors"])
def test_more_conversions_or_errors_than_requests_are_refused(store: Store, tmp_path: Path, column: str) -> None:
    frame = _rollups(errors=0)
    frame.loc[0, ["requests", column]] = [10, 11]
    with pytest.raises(InputError, match=rf"{column} is above the row's requests in row 1 \(.*11.*\)"):
        import_rollups(store, _parquet(tmp_path, frame))


def test_experiments_whose_log_is_elsewhere_are_not_taken_over(store: Store, tmp_path: Path) -> None:
    seed_experiment(store, "mine", [VariantSpec("control", True), VariantSpec("b")])
    elsewhere = Store(store.url, store.settings.model_copy(update={"source": tmp_path / "source.toml"}))
    with pytest.raises(ConflictError, match=r"AUTO_PROMOTION_SOURCE \('mine'\)"):
        import_rollups(elsewhere, _parquet(tmp_path, _rollups("mine")))
