"""Sessions with other defaults, and databases of other encodings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from psycopg import sql

from promotion_pipeline.decisions.window import evaluate_window
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


@pytest.mark.parametrize(
    "encoding",
    [
        "LATIN1",
        pytest.param(
            "SQL_ASCII", marks=pytest.mark.xfail(reason="known: a name that is no UTF-8 is refused with one line")
        ),
    ],
)
def test_a_database_of_another_encoding_works(server: EmbeddedServer, store: Store, encoding: str) -> None:
    name = f"encoded_{encoding.lower()}"
    with connect(server.url("postgres")) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0".encode()
        )
    try:
        migrate.upgrade(server.url(name))
        encoded = Store(server.url(name), store.settings)
        seed_experiment(encoded, "größe", WINNER, users=100)
        if encoding == "SQL_ASCII":
            with encoded.connect() as connection:
                connection.execute("INSERT INTO ab_experiments (name) VALUES (E'bytes \\xff\\xfe')")
        with encoded.connect() as connection:
            end = newest_complete_hour(connection)
        rollup_window(encoded, end - timedelta(hours=96), end)
        assert {"größe"} <= {found.experiment_name for found in assess(encoded, None)}
        assert assess(encoded, ["größe"])[0].is_eligible
    finally:
        with connect(server.url("postgres")) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
