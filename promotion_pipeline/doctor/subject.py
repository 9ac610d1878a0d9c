"""What is examined: the settings, the database, Dagster's database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from promotion_pipeline.config import Settings
from promotion_pipeline.doctor.environment import ReadSettings
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.store.connection import DATABASE, checked_url, connect
from promotion_pipeline.store.database import DAGSTER_DATABASE, Connection, Store

if TYPE_CHECKING:
    import dagster as dg


def host_clock() -> datetime:
    """This machine's time."""
    return datetime.now(UTC)


@dataclass
class Subject:
    """One installation; `store` and `connection` are set once the database answers."""

    reading: ReadSettings
    environment: Mapping[str, str]
    clock: Callable[[], datetime] = host_clock
    store: Store | None = None
    connection: Connection | None = None
    has_schema: bool = False
    """The schema is the one that this version needs."""
    problem: PromotionError | None = None
    """Why the database cannot be used."""
    instance: dg.DagsterInstance | None = None
    """Dagster's, once a check opened it."""
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def settings(self) -> Settings:
        """The settings that could be read."""
        return self.reading.settings

    @property
    def database(self) -> Connection:
        """The open connection, for checks that need it."""
        assert self.connection is not None
        return self.connection

    @property
    def opened(self) -> Store:
        """The store, for checks that need it."""
        assert self.store is not None
        return self.store

    @property
    def is_embedded(self) -> bool:
        """The database is the product's own."""
        return self.settings.database_url is None

    @property
    def dagster_home(self) -> Path:
        """Where Dagster reads its configuration."""
        given = self.environment.get("DAGSTER_HOME", "").strip()
        return Path(given) if given else self.settings.home / "dagster"

    def open(self) -> None:
        """Connect, without touching the schema; `problem` says why not."""
        try:
            self.store = self._found_store()
            self.connection = self.closing.enter_context(self.store.connect())
        except PromotionError as error:
            self.problem = error

    def _found_store(self) -> Store:
        settings = self.settings
        if settings.database_url is not None:
            return Store(checked_url(settings.database_url.get_secret_value()), settings)
        if not (settings.home / "postgres" / "data" / "PG_VERSION").exists():
            raise NothingYetError(f"there is no database in {settings.home} yet")
        from promotion_pipeline.store.embedded.server import EmbeddedServer

        server = self.closing.enter_context(EmbeddedServer(settings.home))
        return Store(server.url(DATABASE), settings, server)

    def dagster_url(self) -> str:
        """libpq's URL of Dagster's storage; unlike `Store.dagster_url` this creates nothing."""
        given = self.settings.dagster_database_url
        return checked_url(given.get_secret_value()) if given else self.opened.url_of(DAGSTER_DATABASE)

    @contextlib.contextmanager
    def dagster_connection(self) -> Iterator[Connection]:
        """A connection to Dagster's storage.

        Raises:
            DependencyError: it cannot be reached, or does not exist.
        """
        with connect(self.dagster_url()) as connection:
            yield connection


class NothingYetError(DependencyError):
    """The embedded database was never made."""

    exit_code = 1
