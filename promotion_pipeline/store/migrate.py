"""The versioned schema: forwards only, one revision a number."""

from __future__ import annotations

from pathlib import Path

import psycopg

from promotion_pipeline.errors import DependencyError

MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = 0x70726F6D6F7465
"""Advisory lock: processes that start together upgrade one after another."""


def head_revision() -> str:
    """The revision that this version of the package needs."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def revision_of(connection: psycopg.Connection[object]) -> str | None:
    """The revision that the database is at; None before the first."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        table = cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if not (table and table[0]):
            return None
        row = cursor.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def current_revision(url: str) -> str | None:
    """The revision that the database at `url` is at; None before the first.

    Raises:
        DependencyError: the database cannot be reached.
    """
    from promotion_pipeline.store.database import connect

    with connect(url) as connection:
        return revision_of(connection)


def upgrade(url: str) -> str:
    """Bring the database at `url` to the head, in one transaction a revision; returns the head.

    Safe to call from several processes at once.

    Raises:
        DependencyError: the database cannot be reached, or is newer than this version of the package.
    """
    from promotion_pipeline.store.database import connect

    with connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (UPGRADE_LOCK,))
        current = revision_of(connection)
        if current is not None and current > head_revision():
            raise DependencyError(
                f"the database is at revision {current}, newer than {head_revision()} which this version needs;"
                " install the newer promotion-pipeline"
            )
        if current != head_revision():
            _run_alembic(url)
    return head_revision()


def _run_alembic(url: str) -> None:
    # Imported here: it costs 0.3 s, and a process rarely upgrades.
    import alembic.command
    import alembic.config
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=sqlalchemy.NullPool,
        # Text of a database in SQL_ASCII would come as bytes.
        connect_args={"client_encoding": "UTF8"},
    )
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
        connection.commit()


def run_sql_beside(module_file: str) -> None:
    """Run NNNN_name.sql beside NNNN_name.py, in the transaction of the migration that is running."""
    from alembic import op

    script = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(script.encode())
