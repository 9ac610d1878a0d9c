"""The same requests through every engine give the same sums, whatever the session's time zone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.pushdown import read_source_rollups
from promotion_pipeline.store.connection import connect
from promotion_pipeline_tests.rollups.engines.conftest import ENGINES, Open
from promotion_pipeline_tests.rollups.engines.logs import (
    AUTUMN,
    HOUR,
    HOURS,
    SESSION_ZONES,
    SPRING,
    as_table,
    experiment_phases,
    requests,
    write_parquet,
    write_postgresql,
)
from promotion_pipeline_tests.rollups.engines.reference import assert_same, expected

DAYS = {"spring": SPRING, "autumn": AUTUMN}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, log_url: str) -> dict[str, tuple[Path, pd.DataFrame]]:
    """By day: the Parquet files and what the rollup must be; a table of PostgreSQL has the day's name."""
    made = {}
    for seed, (name, day) in enumerate(DAYS.items()):
        log = requests(day, seed)
        with connect(log_url) as connection:
            write_postgresql(connection, log, name)
        files = write_parquet(log, tmp_path_factory.mktemp(name))
        numbers = as_table(log).to_pandas()
        made[name] = files, expected(numbers, experiment_phases(day), day, day + HOURS * HOUR)
    return made


@pytest.mark.parametrize("zone", SESSION_ZONES)
@pytest.mark.parametrize("name", DAYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_sums_equal_those_of_the_raw_rows(
    logs: dict[str, tuple[Path, pd.DataFrame]], open_engine: Open, engine: str, name: str, zone: str
) -> None:
    files, wanted = logs[name]
    day: datetime = DAYS[name]
    source = open_engine(engine, zone, files=files, table=name)
    found = read_source_rollups(source, experiment_phases(day), day, day + HOURS * HOUR)
    assert_same(found, wanted)


@pytest.fixture(scope="module")
def whole_milliseconds() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A log without fractions of a millisecond, and what its rollup must be."""
    log = requests(SPRING, 3, count=1500)
    log["created_at"] = log["created_at"].dt.floor("ms")
    numbers = as_table(log).to_pandas()
    return log, expected(numbers, experiment_phases(SPRING), SPRING, SPRING + HOURS * HOUR)


@pytest.mark.parametrize("kind", ["utc", "epoch_milliseconds"])
@pytest.mark.parametrize("engine", ENGINES)
def test_times_without_a_zone_and_whole_numbers_of_time_mean_utc(
    whole_milliseconds: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    log_url: str,
    open_engine: Open,
    engine: str,
    kind: str,
) -> None:
    log, wanted = whole_milliseconds
    stored, table = log.copy(), f"log {kind}"
    if kind == "utc":
        stored["created_at"] = log["created_at"].dt.tz_localize(None)
    else:
        stored["created_at"] = log["created_at"].astype("int64") // 1000
    if engine == "postgresql":
        with connect(log_url) as connection:
            write_postgresql(connection, stored, table)
    source = open_engine(engine, "America/New_York", files=write_parquet(stored, tmp_path), table=table, time=kind)
    phases, end = experiment_phases(SPRING), SPRING + HOURS * HOUR
    assert_same(read_source_rollups(source, phases, SPRING, end), wanted)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_time_without_a_zone_is_no_instant_unless_the_mapping_says_utc(
    tmp_path: Path, log_url: str, open_engine: Open, engine: str
) -> None:
    log = requests(SPRING, 3, count=100)
    log["created_at"] = log["created_at"].dt.tz_localize(None)
    if engine == "postgresql":
        with connect(log_url) as connection:
            write_postgresql(connection, log, "naive log")
    source = open_engine(engine, files=write_parquet(log, tmp_path), table="naive log")
    with pytest.raises(ConfigError, match="set time to 'utc'"):
        read_source_rollups(source, experiment_phases(SPRING), SPRING, SPRING + HOUR)


def test_the_log_has_what_can_go_wrong(logs: dict[str, tuple[Path, pd.DataFrame]]) -> None:
    for _, wanted in logs.values():
        assert wanted["crossed_users"].sum() > 0
        assert wanted["phase_id"].nunique() == 3
        assert (wanted["latency_samples"] < wanted["requests"]).any()
        assert (wanted["user_requests"] < wanted["requests"]).any()
        assert wanted.groupby(["hour", "experiment_id"])["phase_id"].nunique().max() == 2
