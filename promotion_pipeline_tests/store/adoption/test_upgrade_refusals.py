"""What keeps an upgrade from being made although the tables are as they must be: where they lie, and who holds them."""

from __future__ import annotations

from typing import Any

import alembic.command
import pytest

from promotion_pipeline.errors import AdoptionError, ConflictError
from promotion_pipeline.store import migrate
from promotion_pipeline.store.adoption import swap
from promotion_pipeline.store.adoption.ours import adopted_tables
from promotion_pipeline.store.connection import connect
from promotion_pipeline_tests.adoption import specified


def _bring_to_shop(url: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("SET search_path = shop")
        connection.execute(specified.TABLES.encode())


def _public_tables(url: str) -> list[dict[str, Any]]:
    with connect(url) as connection:
        return connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()


def test_tables_outside_the_search_path_are_named_and_no_second_set_is_made(empty_database: str) -> None:
    _bring_to_shop(empty_database)
    with pytest.raises(AdoptionError) as refused:
        migrate.upgrade(empty_database)
    (line,) = refused.value.lines
    assert line.startswith("ab_experiments, ab_variants, ai_requests: there in the schema shop")
    assert _public_tables(empty_database) == []
    remedy = line.partition("; ")[2].partition(", or add ")[0]
    with connect(empty_database) as connection:
        connection.execute(remedy.encode())
        assert migrate.upgrade(empty_database) == migrate.head_revision()
    with connect(empty_database) as connection:
        assert set(adopted_tables(connection).values()) == {"shop"}


def test_a_schema_of_our_own_may_stand_beside_tables_that_are_kept(empty_database: str) -> None:
    _bring_to_shop(empty_database)
    with connect(empty_database) as connection:
        connection.execute("CREATE SCHEMA promotion")
    url = f"{empty_database}{'&' if '?' in empty_database else '?'}options=-csearch_path%3Dpromotion"
    assert migrate.upgrade(url) == migrate.head_revision()


def test_tables_that_another_transaction_holds_are_a_conflict_that_names_it(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "LOCK_WAIT", "100ms")
    with connect(empty_database) as holder:
        holder.execute(specified.TABLES.encode())
        with holder.transaction():
            holder.execute("LOCK TABLE ab_variants IN SHARE MODE")
            with pytest.raises(ConflictError, match="nothing was changed: try again") as refused:
                migrate.upgrade(empty_database)
            assert f"server process {holder.info.backend_pid}" in str(refused.value)
    assert len(_public_tables(empty_database)) == 5


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE ai_events (id bigint PRIMARY KEY, user_id text)",
        "CREATE VIEW ai_events AS SELECT 1 AS id",
        "CREATE TABLE sent_requests (at date) PARTITION BY RANGE (at)",
        "CREATE TABLE traffic_deliveries (id int)",
        "CREATE TABLE traffic_allocations (id uuid, experiment_id uuid, generation int, buckets jsonb)",
    ],
)
@pytest.mark.parametrize("revision", [None, "0023"])
def test_a_name_that_a_team_uses_is_refused_before_anything_is_changed(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, theirs: str, revision: str | None
) -> None:
    if revision is not None:
        _upgrade_to(empty_database, revision, monkeypatch)
    with connect(empty_database) as connection:
        connection.execute(theirs.encode())
        before = _public_tables(empty_database)
        with pytest.raises(AdoptionError) as refused:
            migrate.upgrade(empty_database)
        (line,) = refused.value.lines
        assert ": expected the name to be free; ALTER" in line
        assert (_public_tables(empty_database), migrate.revision_of(connection)) == (before, revision)
        connection.execute(line.partition("; ")[2].partition(", or ")[0].encode())
        assert migrate.upgrade(empty_database) == migrate.head_revision()


def test_a_table_in_a_schema_that_ours_would_hide_is_refused_and_one_out_of_sight_is_not(empty_database: str) -> None:
    with connect(empty_database) as connection:
        for schema in ("ours", "theirs", "analytics"):
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute("CREATE TABLE theirs.ai_events (id uuid)")
        connection.execute("CREATE TABLE analytics.sent_requests (id uuid)")
    url = f"{empty_database}{'&' if '?' in empty_database else '?'}options=-csearch_path%3Dours,theirs"
    with pytest.raises(AdoptionError, match=r"theirs\.ai_events is there already"):
        migrate.upgrade(url)
    with connect(empty_database) as connection:
        connection.execute("ALTER TABLE theirs.ai_events RENAME TO clicks")
    assert migrate.upgrade(url) == migrate.head_revision()


def _upgrade_to(url: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version of the product, as far as its tables go."""
    with monkeypatch.context() as older:
        real = alembic.command.upgrade
        older.setattr(alembic.command, "upgrade", lambda config, _head: real(config, revision))
        migrate.upgrade(url)
