"""Where the data are: the embedded server or the one of `AUTO_PROMOTION_DATABASE_URL`, with its schema at the head."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store import migrate
from promotion_pipeline.store.adoption.settle import REQUESTS_VIEW
from promotion_pipeline.store.connection import DATABASE, checked_url, connect, create_database
from promotion_pipeline.store.connection import Connection as Connection
from promotion_pipeline.store.user_ids import settle_user_ids

if TYPE_CHECKING:
    from promotion_pipeline.store.embedded.server import EmbeddedServer

DAGSTER_DATABASE = "dagster"
RECOVERY_SECONDS = 30.0
"""How long an embedded server that runs may refuse connections: it recovers, or too many are open."""
SQLALCHEMY_SCHEME = "postgresql+psycopg2://"


@dataclass(frozen=True)
class Store:
    """A database with the product's schema.

    `url` may hold a password, so it is left out of the representation.
    """

    url: str = field(repr=False)
    settings: Settings
    server: EmbeddedServer | None = field(default=None, repr=False, compare=False)

    def connect(self) -> Connection:
        """A new connection: autocommit, rows as dicts, UTC. Write inside `with connection.transaction():`.

        Raises:
            DependencyError: the database cannot be reached.
        """
        try:
            return self.open_connection()
        except DependencyError:
            if self.server is None:
                raise
        # The server was killed, or one of its processes was and it recovers. Start it if needed, wait until it answers.
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            self.server.start()
            try:
                return self.open_connection()
            except DependencyError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def open_connection(self) -> Connection:
        """One attempt at a connection: what a store that keeps connections overrides.

        Raises:
            DependencyError: the database cannot be reached.
        """
        return connect(self.url, user_id_keys=self.settings.user_id_keys)

    def rows(self, query: LiteralString | sql.SQL, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of one query, on a connection of its own.

        Raises:
            DependencyError: the database cannot be reached.
        """
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    @property
    def dagster_url(self) -> str:
        """SQLAlchemy URL (psycopg2) of Dagster's storage; the database is created if missing.

        Raises:
            DependencyError: the server cannot be reached or the database cannot be created.
        """
        given = self.settings.dagster_database_url
        if given is not None:
            return dagster_sqlalchemy_url(given.get_secret_value())
        url = self.url_of(DAGSTER_DATABASE)
        create_database(self.url, DAGSTER_DATABASE)
        return SQLALCHEMY_SCHEME + url.removeprefix("postgresql://")

    def url_of(self, database: str) -> str:
        """The URL of another database on the same server."""
        from sqlalchemy import make_url

        if self.server is not None:
            return self.server.url(database)
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)


def dagster_sqlalchemy_url(url: str) -> str:
    """The SQLAlchemy URL of Dagster's storage: a plain one would take a driver that is not installed.

    Raises:
        ConfigError: it is no URL of PostgreSQL.
    """
    return SQLALCHEMY_SCHEME + checked_url(url).removeprefix("postgresql://")


@contextlib.contextmanager
def open_store(settings: Settings | None = None) -> Iterator[Store]:
    """The store of `settings` (default: of the environment), with its schema at the head.

    The embedded server is leased while the context lasts, and its schema upgraded. The schema of another server
    is not touched.

    Raises:
        DependencyError: the database cannot be reached, or its schema is behind or ahead of this version.
    """
    known = Settings.from_environment() if settings is None else settings
    if known.database_url is not None:
        store = Store(checked_url(known.database_url.get_secret_value()), known)
        require_schema(store)
        _require_user_id_key(store)
        yield store
        return
    from promotion_pipeline.store.embedded.server import EmbeddedServer

    with EmbeddedServer(known.home) as server:
        store = Store(server.url(DATABASE), known, server)
        _prepare(store)
        _require_user_id_key(store)
        yield store


@contextlib.contextmanager
def glance(settings: Settings, seconds: int) -> Iterator[Connection]:
    """A transaction for one short question while something else waits: of a server that runs, and soon or not at all.

    The schema is not looked at, and an embedded server is not started.

    Args:
        seconds: that connecting may take, and each statement after it.

    Raises:
        ConfigError: the URL is malformed.
        DependencyError: the server does not run, or does not answer in time.
    """
    if settings.database_url is not None:
        url = checked_url(settings.database_url.get_secret_value())
    else:
        from promotion_pipeline.store.embedded.server import running_url

        found = running_url(settings.home, DATABASE)
        if found is None:
            raise DependencyError(f"the embedded server of {settings.home} does not run")
        url = found
    with connect(url, connect_seconds=seconds) as connection, connection.transaction():
        # Of the transaction, not of the session: behind a pooler the session is somebody else's next.
        connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(seconds * 1000)])
        yield connection


def _prepare(store: Store) -> None:
    try:
        with connect(store.url) as connection:
            # Somebody dropped the view, perhaps to change a column under it: an upgrade makes it anew.
            current = migrate.revision_of(connection) if _has_view(connection) else None
    except DependencyError:
        assert store.server is not None
        create_database(store.server.url("postgres"), DATABASE)
        current = None
    if current != migrate.head_revision():
        migrate.upgrade(store.url)


def _require_user_id_key(store: Store) -> None:
    with store.connect() as connection, connection.transaction():
        settle_user_ids(connection, store.settings.user_id_keys)


def require_schema(store: Store) -> None:
    """Refuse a database whose schema is not the one that this version needs.

    Raises:
        DependencyError: it is behind (run `promotion-pipeline db upgrade`), ahead, lacks the view of the log, or
            cannot be reached.
    """
    with store.connect() as connection:
        current = migrate.revision_of(connection)
        may_sort = connection.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY') AS it").fetchone()
        may_read = _has_view(connection)
    head = migrate.head_revision()
    if current is None or current < head:
        raise DependencyError(
            f"the schema of the database is at revision {current or 'none'}, {head} is needed:"
            " run `promotion-pipeline db upgrade`"
        )
    if may_sort is None or not may_sort["it"]:
        raise DependencyError(
            "the role may make no temporary tables, which rolling up needs: run what `promotion-pipeline db grants"
            " ROLE` prints, as the owner of the database"
        )
    if current > head:
        raise DependencyError(
            f"the schema of the database is at revision {current}, newer than {head} which this version needs:"
            " install the newer promotion-pipeline"
        )
    if not may_read:
        raise DependencyError(f"the view {REQUESTS_VIEW} is missing: make it anew with `promotion-pipeline db upgrade`")


def _has_view(connection: Connection) -> bool:
    """Whether the view that the log is read through is there."""
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS it", [REQUESTS_VIEW]).fetchone()
    return found is not None and bool(found["it"])


_current: dict[tuple[int, Settings], tuple[Store, contextlib.ExitStack]] = {}
_current_lock = threading.Lock()


def current_store(settings: Settings | None = None) -> Store:
    """The store of these settings (default: of the environment), opened once for the process and closed when it exits.

    Raises:
        ConfigError: a setting is wrong.
        DependencyError: the database cannot be reached, or its schema is behind or ahead.
    """
    settings = Settings.from_environment() if settings is None else settings
    key = (os.getpid(), settings)
    with _current_lock:
        if key not in _current:
            stack = contextlib.ExitStack()
            _current[key] = (stack.enter_context(open_store(settings)), stack)
            atexit.register(stack.close)
        return _current[key][0]


def close_current_stores() -> None:
    """Give back what `current_store` holds, before the process exits."""
    with _current_lock:
        for _, stack in _current.values():
            stack.close()
        _current.clear()
