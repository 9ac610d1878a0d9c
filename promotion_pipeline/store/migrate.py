"""The versioned schema: forwards only, one revision a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from promotion_pipeline.errors import ConflictError, DependencyError
from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES
from promotion_pipeline.store.adoption.ours import VERSION_TABLE
from promotion_pipeline.store.connection import connect

MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = 0x70726F6D6F7465
"""Advisory lock: processes that start together upgrade one after another."""
FORMER_VERSION_TABLE = "alembic_version"
"""Where our revision was kept up to 0012; it may be a team's own as well."""
_REVISION = re.compile(r"[0-9]{4}")


def head_revision() -> str:
    """The revision that this version of the package needs."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def revision_of(connection: psycopg.Connection[Any]) -> str | None:
    """The revision that the database is at; None before the first."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        table = cursor.execute(f"SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL".encode()).fetchone()
        if table and table[0]:
            row = cursor.execute(f"SELECT version_num FROM {VERSION_TABLE}".encode()).fetchone()
            return str(row[0]) if row else None
    return _former_revision(connection)


def _former_revision(connection: psycopg.Connection[Any]) -> str | None:
    """Our revision where it was kept before, if what is there is ours: a team's own means nothing to us."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        there = cursor.execute(
            "SELECT to_regclass(%s) IS NOT NULL AND to_regclass('rollup_hours') IS NOT NULL"
            " AND to_regclass('experiment_promotions') IS NOT NULL",
            [FORMER_VERSION_TABLE],
        ).fetchone()
        if not (there and there[0]):
            return None
        rows = cursor.execute(f"SELECT version_num FROM {FORMER_VERSION_TABLE}".encode()).fetchall()
    ours = [str(number) for (number,) in rows if _REVISION.fullmatch(str(number))]
    return ours[0] if ours else None


def current_revision(url: str) -> str | None:
    """The revision that the database at `url` is at; None before the first.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with connect(url) as connection:
        return revision_of(connection)


def upgrade(url: str) -> str:
    """Bring the database at `url` to the head, in one transaction a revision; returns the head.

    A database with tables of the application that are not ours is adopted, in one transaction. Safe to call from
    several processes at once, also through a pooler: the lock is held by a transaction, not by a session.

    Raises:
        AdoptionError: the tables that are there cannot be adopted; nothing was changed.
        ConflictError: another transaction holds the tables for longer than we wait.
        DependencyError: the database cannot be reached, or is newer than this version of the package.
    """
    from promotion_pipeline.store.adoption.settle import index_log

    with connect(url) as connection:
        try:
            with connect(url) as guard, guard.transaction():
                guard.execute("SELECT pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
                _upgrade(url, connection)
        except Exception as error:
            # SQLAlchemy wraps the driver's error and keeps it in `orig`.
            if not isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable):
                raise
            raise ConflictError(_held(connection)) from None
        # Only now: building an index CONCURRENTLY waits for every open transaction, also the one that held the lock.
        index_log(connection)
    return head_revision()


def _held(connection: psycopg.Connection[Any]) -> str:
    revision = revision_of(connection)
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        holders = cursor.execute(
            "SELECT DISTINCT pid FROM pg_locks WHERE granted AND pid <> pg_backend_pid() AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND relation IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1",
            [list(ADOPTED_TABLES)],
        ).fetchall()
    by = f" (server process {', '.join(str(pid) for (pid,) in holders)}: see pg_stat_activity)" if holders else ""
    stands = "nothing was changed" if revision is None else f"the schema stays at revision {revision}"
    return f"another transaction{by} holds the tables, {stands}: try again when it has ended"


def _upgrade(url: str, connection: psycopg.Connection[Any]) -> None:
    current = revision_of(connection)
    if current is not None and current > head_revision():
        raise DependencyError(
            f"the database is at revision {current}, newer than {head_revision()} which this version needs;"
            " install the newer promotion-pipeline"
        )
    if current is None:
        _set_up(url, connection)
        return
    if current != head_revision():
        from promotion_pipeline.store.adoption.preflight import require_free_names

        require_free_names(connection, current)
        _move_revision(connection)
        _run_alembic(url)
    _settle(connection)


def _set_up(url: str, connection: psycopg.Connection[Any]) -> None:
    """The first upgrade of a database: on its own, or around a team's tables."""
    from promotion_pipeline.store.adoption.catalog import creation_schema
    from promotion_pipeline.store.adoption.preflight import require_adoptable
    from promotion_pipeline.store.adoption.settle import settle
    from promotion_pipeline.store.adoption.swap import take_over

    found = require_adoptable(connection)
    schema = creation_schema(connection)
    assert schema is not None
    if not found:
        _run_alembic(url)
        _settle(connection)
        return

    def adopt(driver: psycopg.Connection[Any], migrate: Callable[[], None]) -> None:
        take_over(driver, found, schema, migrate)
        settle(driver)

    _run_alembic(url, adopt)


def _settle(connection: psycopg.Connection[Any]) -> None:
    from promotion_pipeline.store.adoption.settle import settle

    with connection.transaction():
        settle(connection)


def _move_revision(connection: psycopg.Connection[Any]) -> None:
    """Keep our revision in a table of our own; what else stands in the former one is not ours."""
    with connection.transaction():
        if (current := _former_revision(connection)) is None:
            return
        connection.execute(f"CREATE TABLE {VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)".encode())
        connection.execute(f"INSERT INTO {VERSION_TABLE} VALUES (%s)".encode(), [current])
        connection.execute(f"DELETE FROM {FORMER_VERSION_TABLE} WHERE version_num = %s".encode(), [current])
        with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            others = cursor.execute(f"SELECT 1 FROM {FORMER_VERSION_TABLE}".encode()).fetchone()
        if others is None:
            connection.execute(f"DROP TABLE {FORMER_VERSION_TABLE}".encode())


def _run_alembic(url: str, around: Callable[[psycopg.Connection[Any], Callable[[], None]], None] | None = None) -> None:
    """Run what is missing, a transaction each; or all of it in one transaction, inside of `around`."""
    # Imported here: it costs 0.3 s, and a process rarely upgrades.
    import alembic.command
    import alembic.config
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=sqlalchemy.NullPool,
        # In a database of encoding SQL_ASCII psycopg would give text as bytes.
        connect_args={"client_encoding": "UTF8"},
    )
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_table", VERSION_TABLE)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.prepare_threshold = None
        if around is None:
            alembic.command.upgrade(config, "head")
        else:
            connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
            around(driver, lambda: alembic.command.upgrade(config, "head"))
        connection.commit()


def run_sql_beside(module_file: str) -> None:
    """Run NNNN_name.sql beside NNNN_name.py, in the transaction of the migration that is running."""
    from alembic import op

    script = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(script.encode())
