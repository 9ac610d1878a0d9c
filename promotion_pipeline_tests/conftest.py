"""A real PostgreSQL for every test that asks for one: one server a session, one fresh database a test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.database import Connection, Store, close_current_stores
from promotion_pipeline.store.embedded.server import EmbeddedServer

TEMPLATE = "promotion_template"
FAST_AND_UNSAFE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """The developer's own AUTO_PROMOTION_* must not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AUTO_PROMOTION_")]:
            patch.delenv(name)
        # The width of the tables that a command prints to a pipe.
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the session's server."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[EmbeddedServer]:
    """One embedded server for the session; nothing on it outlives the tests, so it does not wait for the disk."""
    with EmbeddedServer(server_home, server_settings=FAST_AND_UNSAFE) as running:
        create_database(running.url("postgres"), TEMPLATE)
        migrate.upgrade(running.url(TEMPLATE))
        yield running


@pytest.fixture
def empty_database(server: EmbeddedServer) -> Iterator[str]:
    """URL of a fresh database without the schema."""
    yield from _database(server, "template1")


@pytest.fixture
def store(server: EmbeddedServer, server_home: Path) -> Iterator[Store]:
    """A fresh database with the schema; `store.settings.database_url` names it too."""
    for url in _database(server, TEMPLATE):
        yield Store(url, Settings(home=server_home, database_url=SecretStr(url)))


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    """A connection to the test's store."""
    with store.connect() as opened:
        yield opened


@pytest.fixture
def store_environment(store: Store, server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment that leads `current_store()`, and processes given it, to the test's store."""
    # An instance that a fixture of the session holds open names its own storage.
    for name in ("AUTO_PROMOTION_DAGSTER_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    variables = {"AUTO_PROMOTION_DATABASE_URL": store.url, "AUTO_PROMOTION_HOME": str(server_home)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield {**os.environ}
    close_current_stores()


@pytest.fixture(scope="session")
def log_url(server: EmbeddedServer) -> str:
    """A database of PostgreSQL that holds logs only."""
    create_database(server.url("postgres"), "request_logs")
    return server.url("request_logs")


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark session of two threads."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install 'promotion-pipeline[spark]'")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer, and there is no java on the PATH")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def _database(server: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create_database(server.url("postgres"), name, template)
    try:
        yield server.url(name)
    finally:
        with connect(server.url("postgres")) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
