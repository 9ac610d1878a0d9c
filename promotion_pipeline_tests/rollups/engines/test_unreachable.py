"""A log that is not there, or an engine that does not answer, is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_pipeline.errors import ConfigError, DependencyError, InputError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.registry import open_source
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.engines.conftest import ENGINES, Open


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_table_or_file_is_named(tmp_path: Path, open_engine: Open, engine: str) -> None:
    source = open_engine(engine, files=tmp_path / "none" / "*.parquet", table="nosuch")
    with pytest.raises(InputError, match=r"nosuch|none/\*\.parquet") as caught:
        source.columns()
    assert "AUTO_PROMOTION_SOURCE" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_query_that_the_engine_refuses_is_one_line(tmp_path: Path, open_engine: Open, engine: str) -> None:
    source = open_engine(engine, files=tmp_path / "x.parquet", table="x")
    with pytest.raises(DependencyError, match="refuses the query") as caught:
        source.run("SELECT nosuch_function(1)")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, open_engine: Open) -> None:
    pytest.importorskip("duckdb")
    wrong = tmp_path / "x.parquet"
    wrong.write_text("id,ts\n1,2\n")
    with pytest.raises(InputError, match=r"cannot read .*x\.parquet as Parquet"):
        open_engine("duckdb", files=wrong, table="").columns()


def test_a_server_that_is_down_is_named_without_its_password(store: Store) -> None:
    postgresql = {"engine": "postgresql", "url": "postgresql://reader:hunter2@127.0.0.1:1/logs"}
    clickhouse = {"engine": "clickhouse", "url": "http://reader:hunter2@127.0.0.1:1/logs"}
    for values in (postgresql, clickhouse):
        with open_source(parse_source(values), store) as source:
            with pytest.raises(DependencyError, match=r"127\.0\.0\.1") as caught:
                source.columns()
            assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["logs:8123", "clickhouse://logs", "http://"])
def test_a_url_that_is_none_of_clickhouse_is_refused_unquoted(store: Store, url: str) -> None:
    with (
        pytest.raises(ConfigError, match="url of a ClickHouse source is http"),
        open_source(parse_source({"engine": "clickhouse", "url": url}), store),
    ):
        pass
