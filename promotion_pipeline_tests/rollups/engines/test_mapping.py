"""A team's table is called as the team calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
from psycopg import sql

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.registry import ENGINES as REGISTERED
from promotion_pipeline.rollups.pushdown import compiled_log, read_source_rollups
from promotion_pipeline.rollups.sql.kinds import Kind
from promotion_pipeline.rollups.sql.rollup_query import rollup_sql
from promotion_pipeline.store.connection import connect
from promotion_pipeline_tests.rollups.engines.conftest import ENGINES, Open
from promotion_pipeline_tests.rollups.engines.logs import (
    HOUR,
    HOURS,
    SPRING,
    as_table,
    experiment_phases,
    requests,
    write_parquet,
    write_postgresql,
)
from promotion_pipeline_tests.rollups.engines.reference import assert_same, expected

END = SPRING + HOURS * HOUR
ODD = {
    "created_at": 'at "the" time',
    "experiment_name": "select",
    "variant_name": "Variant's ñame; DROP TABLE x; --",
    "converted": "{converted}",
    "is_error": "back`tick",
    "latency_ms": "order by",
    "user_id": "%s",
    "value": "a.b",
}


@pytest.fixture
def log() -> pd.DataFrame:
    return requests(SPRING, 5, count=1500)


def named(log: pd.DataFrame) -> pd.DataFrame:
    """The log with names of experiments and variants instead of their ids, under odd column names, flags as 0 and 1."""
    phases = experiment_phases(SPRING).drop_duplicates("variant_id")
    variants = phases.set_index("variant_id")["variant_name"]
    experiments = phases.drop_duplicates("experiment_id").set_index("experiment_id")["experiment_name"]
    odd = log.assign(
        experiment_name=log["experiment_id"].map(experiments),
        variant_name=log["variant_id"].map(variants).fillna("nobody's"),
        converted=log["converted"].astype("int64"),
    )
    return odd.drop(columns=["experiment_id", "variant_id"])[list(ODD)].rename(columns=ODD)


def odd_table(log_url: str, log: pd.DataFrame, table: str) -> None:
    """The log as a table of PostgreSQL with the odd names."""
    with connect(log_url) as connection:
        write_postgresql(connection, log, "plain")
        phases = experiment_phases(SPRING).drop_duplicates("variant_id")
        connection.execute("CREATE TEMPORARY TABLE names (experiment_id text, variant_id text, e text, v text)")
        with connection.cursor() as cursor, cursor.copy("COPY names FROM STDIN") as copy:
            for row in phases[["experiment_id", "variant_id", "experiment_name", "variant_name"]].itertuples(
                index=False
            ):
                copy.write_row(tuple(row))
        columns = {name: name for name in ODD} | {
            "experiment_name": "coalesce(names.e, '?')",
            "variant_name": "coalesce(names.v, '?')",
            "converted": "converted::integer",
        }
        made = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(expression), sql.Identifier(ODD[name]))
            for name, expression in columns.items()
        )
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} AS SELECT {} FROM plain LEFT JOIN names"
                " ON names.variant_id = plain.variant_id::text AND names.experiment_id = plain.experiment_id::text"
            ).format(sql.Identifier(table), made)
        )
        connection.execute("DROP TABLE plain")


@pytest.mark.parametrize("engine", ENGINES)
def test_odd_names_and_names_instead_of_ids_change_no_sum(
    tmp_path: Path, log_url: str, open_engine: Open, log: pd.DataFrame, engine: str
) -> None:
    table = 'team\'s "log"; DROP TABLE x'
    if engine == "postgresql":
        odd_table(log_url, log, table)
    folder = tmp_path / "it's odd"
    folder.mkdir()
    files = write_parquet(named(log), folder)
    source = open_engine(engine, files=files, table=table, columns=ODD)
    phases = experiment_phases(SPRING)
    # Missing numbers are those of the written files: every tenth row.
    wanted = expected(as_table(log).to_pandas(), phases, SPRING, END)
    assert_same(read_source_rollups(source, phases, SPRING, END), wanted)


def test_uuid_columns_are_matched_as_uuids(tmp_path: Path, open_engine: Open, log: pd.DataFrame) -> None:
    duckdb = pytest.importorskip("duckdb")
    write_parquet(log, tmp_path)
    typed = tmp_path / "typed.parquet"
    duckdb.sql(
        f"COPY (SELECT * REPLACE (experiment_id::UUID AS experiment_id, variant_id::UUID AS variant_id)"
        f" FROM '{tmp_path}/part-*.parquet') TO '{typed}' (FORMAT parquet)"
    )
    source = open_engine("duckdb", files=typed, table="")
    assert source.log.columns.experiment.kind is Kind.UUID
    phases = experiment_phases(SPRING)
    wanted = expected(as_table(log).to_pandas(), phases, SPRING, END)
    assert_same(read_source_rollups(source, phases, SPRING, END), wanted)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_clickhouse_table_with_a_zone_of_its_own_is_read_right(tmp_path: Path, open_engine: Open) -> None:
    log = requests(SPRING, 6, count=1500)
    log["created_at"] = log["created_at"].dt.floor("s")
    files = write_parquet(log, tmp_path)
    source: Any = open_engine("clickhouse", "Asia/Kolkata", files=files, table="")
    session = source._session
    session.query("CREATE DATABASE IF NOT EXISTS team")
    session.query("DROP TABLE IF EXISTS team.`log.1`")
    session.query(
        "CREATE TABLE team.`log.1` (experiment_id UUID, variant_id UUID, user_id LowCardinality(Nullable(String)),"
        " created_at DateTime('America/New_York'), latency_ms Nullable(Float32), is_error UInt8, converted Bool,"
        " value Nullable(Float64)) ENGINE = MergeTree ORDER BY created_at"
    )
    session.query(f"INSERT INTO team.`log.1` SELECT * FROM {source.rowset}")
    table = type(source)(parse_source({"engine": "clickhouse", "url": "http://x", "table": ["team", "log.1"]}), session)
    phases = experiment_phases(SPRING)
    numbers = as_table(log).to_pandas()
    numbers["latency_ms"] = numbers["latency_ms"].astype("float32").astype("float64")
    assert_same(read_source_rollups(table, phases, SPRING, END), expected(numbers, phases, SPRING, END))


def test_a_log_without_users_latency_and_value_gives_what_it_has(
    tmp_path: Path, open_engine: Open, log: pd.DataFrame
) -> None:
    pytest.importorskip("duckdb")
    bare = tmp_path / "bare.parquet"
    pyarrow.parquet.write_table(as_table(log[["experiment_id", "variant_id", "created_at", "converted"]]), bare)
    rollups = read_source_rollups(open_engine("duckdb", files=bare, table=""), experiment_phases(SPRING), SPRING, END)
    assert rollups["requests"].sum() > rollups["conversions"].sum() > 0
    empty = ["errors", "latency_samples", "latency_ms_sum", "value_sum_squares", "user_requests", "new_users"]
    assert not rollups[empty].any(axis=None)


def test_users_can_be_left_out(tmp_path: Path, open_engine: Open, log: pd.DataFrame) -> None:
    pytest.importorskip("duckdb")
    source = open_engine("duckdb", files=write_parquet(log, tmp_path), table="", users=False)
    rollups = read_source_rollups(source, experiment_phases(SPRING), SPRING, END)
    assert rollups["requests"].sum() > 0
    assert not rollups[["user_requests", "user_conversions", "new_users", "crossed_users"]].any(axis=None)


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"created_at": "time"}, {}, "has no column 'time' for created_at; it has experiment_id"),
        ({"user_id": "customer"}, {}, "has no column 'customer' for user_id"),
        ({"converted": "latency_ms"}, {}, "column 'latency_ms' of .* is DOUBLE: converted must be boolean or integer"),
        ({"value": "user_id"}, {}, "value must be number or integer"),
        ({}, {"time": "utc"}, "is TIMESTAMP WITH TIME ZONE, which is not time='utc': set time to 'instant'"),
        ({"created_at": "latency_ms"}, {}, "a time is needed"),
    ],
)
def test_a_column_that_does_not_fit_is_named(
    tmp_path: Path, open_engine: Open, log: pd.DataFrame, columns: dict[str, str], more: dict[str, str], message: str
) -> None:
    pytest.importorskip("duckdb")
    source = open_engine("duckdb", files=write_parquet(log, tmp_path), table="", columns=columns, **more)
    with pytest.raises(ConfigError, match=message):
        read_source_rollups(source, experiment_phases(SPRING), SPRING, END)


@pytest.mark.parametrize(
    ("type_name", "engine", "kind"),
    [
        ("timestamp", "spark", Kind.INSTANT),
        ("TIMESTAMP", "duckdb", Kind.NAIVE),
        ("timestamp(3) without time zone", "postgresql", Kind.NAIVE),
        ("timestamp(3) with time zone", "postgresql", Kind.INSTANT),
        ("timestamp_ntz", "spark", Kind.NAIVE),
        ("Nullable(DateTime64(6, 'UTC'))", "clickhouse", Kind.INSTANT),
        ("LowCardinality(Nullable(String))", "clickhouse", Kind.TEXT),
        ("UInt8", "clickhouse", Kind.INTEGER),
        ("HUGEINT", "duckdb", Kind.INTEGER),
        ("interval", "postgresql", Kind.OTHER),
        ("decimal(10,2)", "spark", Kind.NUMBER),
        ("double precision", "postgresql", Kind.NUMBER),
        ("character varying(20)", "postgresql", Kind.TEXT),
        ("json", "postgresql", Kind.OTHER),
    ],
)
def test_types_are_told_apart(type_name: str, engine: str, kind: Kind) -> None:
    assert REGISTERED[engine].dialect.kind_of(type_name) is kind


def test_a_name_that_the_engine_cannot_have_is_refused() -> None:
    config = parse_source({"engine": "bigquery", "columns": {"value": "a`b"}})
    with pytest.raises(Exception, match="holds '`', which no name of this engine can"):
        rollup_sql(compiled_log(config), experiment_phases(SPRING), SPRING, END)
