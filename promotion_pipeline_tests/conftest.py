"""A real PostgreSQL for every test that asks for one: one server a session, one fresh database a test."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Connection, Store, close_current_stores
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.databases import copied_database, memory_folder

TEMPLATE = "promotion_template"
FAST_AND_UNSAFE = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # Dropping a database is a checkpoint already.
    "checkpoint_timeout": "1h",
}


TURN_SECONDS = 40.0
"""How long most tests take at the very most."""


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
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Home of the session's server."""
    with memory_folder(otherwise=tmp_path_factory.mktemp("home")) as folder:
        yield folder


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
    with copied_database(server, "template1") as url:
        yield url


@pytest.fixture
def store(server: EmbeddedServer, server_home: Path) -> Iterator[Store]:
    """A fresh database with the schema; `store.settings.database_url` names it too."""
    left = 3600.0 - time.time() % 3600.0
    if left < TURN_SECONDS:
        # What a test writes about the newest complete hour is about the one before it once the hour has turned.
        time.sleep(left + 1.0)
    with copied_database(server, TEMPLATE) as url:
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
        # A query of a test runs once: the fastest machine code for it costs more than it saves.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
