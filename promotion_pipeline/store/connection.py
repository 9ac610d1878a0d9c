"""Connecting to PostgreSQL: one way to open a connection, and what its URL and its errors mean."""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row, tuple_row

from promotion_pipeline.errors import ConfigError, DependencyError
from promotion_pipeline.store.session_settings import CLIENT_ENCODING, settle_session

DATABASE = "promotion_pipeline"
CONNECT_SECONDS = 10

Connection: TypeAlias = psycopg.Connection[DictRow]


def connect(
    url: str,
    kind: type[Connection] = psycopg.Connection,
    user_id_keys: str | None = None,
    *,
    connect_seconds: int = CONNECT_SECONDS,
) -> Connection:
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
            connect_timeout=connect_seconds,
            client_encoding=CLIENT_ENCODING,
            fallback_application_name=DATABASE,
        )
        settle_session(connection, user_id_keys)
        if _is_pooled(url, connection):
            # The pooler may run the next statement on another server connection, which does not know prepared ones.
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
