"""The engines, each with the session time zone that a test asks for; PostgreSQL's wants LATIN1 unless told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.engines.clickhouse import ChdbSource
from promotion_pipeline.rollups.engines.duckdb import DuckdbSource
from promotion_pipeline.rollups.engines.postgresql import PostgresqlSource
from promotion_pipeline.rollups.engines.spark import SparkSource

ENGINES = ("postgresql", "duckdb", "spark", "clickhouse")
Open: TypeAlias = Callable[..., RequestSource]


@pytest.fixture
def open_engine(request: pytest.FixtureRequest, log_url: str) -> Iterator[Open]:
    """`open_engine(engine, zone, files=..., table=..., **more)`: a source whose session is in `zone`.

    PostgreSQL takes `table`, the others take `files`; what an engine does not take is left out.
    """
    opened: list[RequestSource] = []

    def source(engine: str, zone: str = "UTC", *, files: Path, table: str, **more: Any) -> RequestSource:
        place = {"table": [table]} if engine == "postgresql" else {"files": str(files)}
        config = parse_source({"engine": engine, **place, **more})
        opened.append(_open(request, engine, zone, config, log_url))
        return opened[-1]

    yield source
    for one in opened:
        one.close()


def _open(request: pytest.FixtureRequest, engine: str, zone: str, config: Any, log_url: str) -> RequestSource:
    if engine == "postgresql":
        mark = "&" if "?" in log_url else "?"
        return PostgresqlSource(
            config, f"{log_url}{mark}options=-c%20TimeZone%3D{zone}%20-c%20client_encoding%3DLATIN1"
        )
    if engine == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        connection = duckdb.connect()
        connection.execute(f"SET TimeZone = '{zone}'")
        return DuckdbSource(config, connection)
    if engine == "spark":
        session = request.getfixturevalue("spark")
        session.conf.set("spark.sql.session.timeZone", zone)
        return SparkSource(config, session)
    chdb = pytest.importorskip("chdb", reason="chdb is not installed: pip install 'promotion-pipeline[clickhouse]'")
    session = request.getfixturevalue("chdb_session")
    session.query(f"SET session_timezone = '{zone}'")
    assert chdb
    return ChdbSource(config, session)


@pytest.fixture(scope="session")
def chdb_session() -> Iterator[Any]:
    """A session of ClickHouse inside this process."""
    session = pytest.importorskip("chdb.session").Session()
    yield session
    session.close()
