"""Where the data are: the embedded server or the one of `AUTO_PROMOTION_DATABASE_URL`."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row, tuple_row

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError, DependencyError
from promotion_pipeline.store import migrate
from promotion_pipeline.store.adoption.settle import REQUESTS_VIEW
from promotion_pipeline.store.session_settings import CLIENT_ENCODING, settle_session
from promotion_pipeline.store.user_ids import settle_user_ids

if TYPE_CHECKING:
    from promotion_pipeline.store.embedded.server import EmbeddedServer

DATABASE = "promotion_pipeline"
DAGSTER_DATABASE = "dagster"
CONNECT_SECONDS = 10
RECOVERY_SECONDS = 30.0
"""How long an embedded server that runs may refuse connections: it recovers, or too many are open."""
SQLALCHEMY_SCHEME = "postgresql+psycopg2://"

Connection: TypeAlias = psycopg.Connection[DictRow]


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
        # The server or its supervisor was killed, or a process of it and it recovers: this waits until it is up.
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

    def rows(self, query: LiteralString, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
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
    chosen = Settings.from_environment() if settings is None else settings
    if chosen.database_url is not None:
        store = Store(checked_url(chosen.database_url.get_secret_value()), chosen)
        require_schema(store)
        _require_user_id_key(store)
        yield store
        return
    from promotion_pipeline.store.embedded.server import EmbeddedServer

    with EmbeddedServer(chosen.home) as server:
        store = Store(server.url(DATABASE), chosen, server)
        _prepare(store)
        _require_user_id_key(store)
        yield store


def _prepare(store: Store) -> None:
    try:
        with connect(store.url) as connection:
            # Dropped to change a column under it, the view is made anew like anything else that is behind.
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


def current_store() -> Store:
    """The store of the environment, opened once for the process and closed when it exits.

    Raises:
        ConfigError: a setting is wrong.
        DependencyError: the database cannot be reached, or its schema is behind or ahead.
    """
    settings = Settings.from_environment()
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


def connect(url: str, kind: type[Connection] = psycopg.Connection, user_id_keys: str | None = None) -> Connection:
    """A new connection to `url`, of class `kind`: autocommit, rows as dicts, UTC.

    Raises:
        ConfigError: `url` is malformed.
        DependencyError: the database cannot be reached; the message holds no password.
    """
    try:
        connection = kind.connect(
            url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_SECONDS,
            client_encoding=CLIENT_ENCODING,
            fallback_application_name=DATABASE,
        )
        settle_session(connection, user_id_keys)
        if _is_pooled(url, connection):
            # A statement prepared on one of the pooler's connections is not known on the next.
            connection.prepare_threshold = None
    except psycopg.OperationalError as error:
        raise cannot_reach(url, error) from None
    except psycopg.ProgrammingError:
        raise ConfigError(MALFORMED) from None
    return connection


_pooled: dict[str, bool] = {}


def is_pooled(url: str) -> bool:
    """Whether a pooler such as PgBouncer stands before the server of `url`: a session then is not one connection.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if url not in _pooled:
        connect(url).close()
    return _pooled[url]


def _is_pooled(url: str, connection: psycopg.Connection[Any]) -> bool:
    """Asked once for a URL: a pooler gives its clients numbers that are not those of the server's processes."""
    if url not in _pooled:
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        _pooled[url] = row[0] != connection.info.backend_pid
    return _pooled[url]


MALFORMED = (
    "AUTO_PROMOTION_DATABASE_URL is not a URL of PostgreSQL: write postgresql://user:password@host:5432/database,"
    " with reserved characters of the password percent-encoded"
)


def checked_url(url: str) -> str:
    """`url` as libpq takes it, without SQLAlchemy's driver name.

    Raises:
        ConfigError: it is malformed; the message does not quote it.
    """
    scheme, separator, rest = url.strip().partition("://")
    plain = f"postgresql://{rest}"
    try:
        conninfo_to_dict(plain)
    except psycopg.ProgrammingError as error:
        raise ConfigError(_misspelt(error) or MALFORMED) from None
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigError(MALFORMED)
    return plain


def _misspelt(error: psycopg.ProgrammingError) -> str | None:
    """What a parameter is called, if it is nearly that: whatever else stands there may be a piece of a password."""
    found = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
    known = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]
    near = difflib.get_close_matches(found[1], known, 1, 0.75) if found else []
    if not (found and near):
        return None
    return (
        f"AUTO_PROMOTION_DATABASE_URL has the parameter {found[1]!r}, which PostgreSQL does not know: write {near[0]}"
    )


def cannot_reach(url: str, error: Exception) -> DependencyError:
    """One clear line about a database that is down; without its password."""
    parts = conninfo_to_dict(url)
    shown = " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user") if name in parts)
    text = " ".join(str(error).split())
    if password := parts.get("password"):
        text = text.replace(str(password), "***")
    return DependencyError(
        f"the database ({shown}) cannot be reached: {text}; check that it runs and AUTO_PROMOTION_DATABASE_URL"
    )


def create_database(url: str, name: str, template: str | None = None) -> None:
    """Create a database on the server of `url` unless it exists; several processes may try at once.

    Where new databases would be of the encoding SQL_ASCII it is UTF8 all the same.

    Raises:
        DependencyError: the server cannot be reached, or the user of `url` may not create databases.
    """
    with connect(url) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        elif _takes_any_bytes(connection):
            statement += sql.SQL(" ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0")
        try:
            connection.execute(statement)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return
        except psycopg.errors.InsufficientPrivilege as error:
            raise DependencyError(
                f"database {name!r} is missing and the user may not create it: create it, or set"
                f" AUTO_PROMOTION_DAGSTER_DATABASE_URL ({error})"
            ) from None


def _takes_any_bytes(connection: Connection) -> bool:
    """Whether a database would be made as a server in the C locale has them: without an encoding."""
    return bool(
        connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = 'template1' AND encoding = pg_char_to_encoding('SQL_ASCII')"
        ).fetchone()
    )
