"""A real Dagster instance on the real PostgreSQL, a fresh one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.databases import copied_database

TEMPLATE = "dagster_template"


@dataclass(frozen=True)
class Stage:
    """Everything that a test acts upon."""

    store: Store
    instance: dg.DagsterInstance
    graph: InProcess
    newest: datetime
    """End of the newest complete hour."""

    def hours_ago(self, hours: int) -> datetime:
        """An hour's boundary before the newest."""
        return self.newest - timedelta(hours=hours)

    def with_settings(self, **changes: object) -> Stage:
        """The same stage under other settings."""
        store = replace(self.store, settings=self.store.settings.model_copy(update=changes))
        return replace(self, store=store, graph=InProcess(self.instance, store, log_level="CRITICAL"))


@pytest.fixture(scope="session")
def dagster_template(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with Dagster's tables: copying it is faster than making them."""
    home = tmp_path_factory.mktemp("dagster_template")
    url = server.url(TEMPLATE)
    create_database(server.url("postgres"), TEMPLATE)
    with open_instance(Store(url, Settings(home=home, dagster_database_url=SecretStr(url)))) as instance:
        assert instance.get_runs_count() == 0
    with connect(server.url("postgres")) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (TEMPLATE,))
    return TEMPLATE


@pytest.fixture
def stage(store: Store, server: EmbeddedServer, dagster_template: str, tmp_path: Path) -> Iterator[Stage]:
    """A store, an instance of its own, and the graph over both."""
    with copied_database(server, dagster_template) as url:
        changes = {"home": tmp_path, "dagster_database_url": SecretStr(url)}
        own = replace(store, settings=store.settings.model_copy(update=changes))
        with open_instance(own) as instance, own.connect() as connection:
            newest = newest_complete_hour(connection)
            yield Stage(own, instance, InProcess(instance, own, log_level="CRITICAL"), newest)
