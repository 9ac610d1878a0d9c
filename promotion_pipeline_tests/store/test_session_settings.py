"""Sessions with other defaults, and databases of other encodings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import sql

from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.doctor import Status
from promotion_pipeline.doctor.examine import examine
from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.cli.conftest import spawn
from promotion_pipeline_tests.seeding import WINNER, seed_experiment


def default(store: Store, name: str, value: str) -> None:
    with store.connect() as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(str(connection.info.dbname)), sql.Identifier(name), sql.Literal(value)
            )
        )


def test_defaults_of_the_session_make_no_difference(store: Store) -> None:
    for name, value in (("DateStyle", "SQL, DMY"), ("IntervalStyle", "sql_standard"), ("TimeZone", "Asia/Kathmandu")):
        default(store, name, value)
    seed_experiment(store, "größe", WINNER)
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    rollup_window(store, end - timedelta(hours=96), end)
    assert evaluate_window(store, end - timedelta(hours=1), end).newest["is_eligible"].tolist() == [True]
    assert assess(store, ["größe"])[0].is_eligible


def test_a_read_only_session_says_so_in_one_line(store: Store, store_environment: dict[str, str]) -> None:
    seed_experiment(store, "checkout", WINNER)
    default(store, "default_transaction_read_only", "on")
    done = spawn("auto-check", environment=store_environment)
    assert done.code == 5
    assert "read-only" in done.err
    assert "Traceback" not in done.err
    assert spawn("check", "checkout", environment=store_environment).code == 0


@contextlib.contextmanager
def encoded(server: EmbeddedServer, encoding: str) -> Iterator[str]:
    """The URL of a database in this encoding."""
    name = f"encoded_{encoding.lower()}"
    with connect(server.url("postgres")) as admin:
        for statement in (
            f"DROP DATABASE IF EXISTS {name}",
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
        ):
            admin.execute(statement.encode())
    try:
        yield server.url(name)
    finally:
        with connect(server.url("postgres")) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_database_of_another_encoding_works(server: EmbeddedServer, store: Store) -> None:
    with encoded(server, "LATIN1") as url:
        migrate.upgrade(url)
        latin = Store(url, store.settings)
        seed_experiment(latin, "größe", WINNER, users=100)
        with latin.connect() as connection:
            end = newest_complete_hour(connection)
        rollup_window(latin, end - timedelta(hours=96), end)
        assert [(found.experiment_name, found.is_eligible) for found in assess(latin, None)] == [("größe", True)]


def test_a_database_that_takes_any_bytes_is_refused_with_the_line_that_makes_another(server: EmbeddedServer) -> None:
    with encoded(server, "SQL_ASCII") as url, connect(url) as connection:
        with pytest.raises(AdoptionError) as refused:
            migrate.upgrade(url)
        (line,) = refused.value.lines
        assert "encoded_sql_ascii has the encoding SQL_ASCII" in line
        assert connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall() == []
        connection.execute(line.partition("; ")[2].partition(", and restore")[0].encode())
        try:
            assert migrate.upgrade(server.url("encoded_sql_ascii_utf8")) == migrate.head_revision()
        finally:
            connection.execute("DROP DATABASE encoded_sql_ascii_utf8 WITH (FORCE)")


def test_the_doctor_names_the_encoding_of_a_database_that_took_any_bytes_before(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with encoded(server, "UTF8") as url:
        migrate.upgrade(url)
        with connect(url) as connection:
            connection.execute("UPDATE pg_database SET encoding = 0 WHERE datname = current_database()")
        diagnosis = examine({"AUTO_PROMOTION_DATABASE_URL": url, "AUTO_PROMOTION_HOME": str(tmp_path)})
    (found,) = (one for one in diagnosis.findings if one.name == "database")
    assert found.status is Status.PROBLEM
    assert "encoded_utf8 has the encoding SQL_ASCII" in found.message
    assert "pg_dump encoded_utf8 | psql encoded_utf8_utf8" in str(found.fix)
