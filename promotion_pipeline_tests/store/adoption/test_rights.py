"""Roles that may do little, other people's sessions, and what they do to rows that we follow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.phases import unnoted_experiments
from promotion_pipeline.errors import AdoptionError, DependencyError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.rollups.postgresql.days import drop_old_days, ensure_days_ahead
from promotion_pipeline.store import migrate
from promotion_pipeline.store.adoption.grants import runtime_grants
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.database import Connection, Store, require_schema
from promotion_pipeline_tests.adoption.servers import binaries_of, running
from promotion_pipeline_tests.seeding import count, seed_experiment


def _role(url: str, name: str) -> str:
    """Make a role that may log in and nothing else; its URL."""
    with connect(url) as connection:
        connection.execute(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$".encode()
        )
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        database = connection.info.dbname
        connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC'.encode())
    return url.replace("postgres@", f"{name}@")


def test_a_role_with_the_printed_grants_runs_everything_and_can_make_nothing(
    older_database: str, tmp_path: Path
) -> None:
    migrate.upgrade(older_database)
    url = _role(older_database, "runtime")
    seed_experiment(Store(older_database, Settings(home=tmp_path)), "checkout", users=2000)
    with connect(older_database) as connection:
        for statement in runtime_grants(connection, "runtime"):
            connection.execute(statement.encode())
    store = Store(url, Settings(home=tmp_path, database_url=SecretStr(url)))
    require_schema(store)
    with store.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (id int)")
        newest = newest_complete_hour(connection)
    assert ensure_days_ahead(store) > 0
    assert roll_up_missing(store, newest).requests == 20_000
    assert auto_check_promotions("cron", store=store).promoted == 1
    assert len(watch_promotions(store)) == 1
    assert rollback_promotion("checkout", "x", "maria", store=store).state == "rolled_back"
    assert drop_old_days(store, 90).days == ()


def test_a_team_changes_a_column_of_the_log_and_the_next_upgrade_reads_it_as_it_is(
    older_database: str, tmp_path: Path
) -> None:
    migrate.upgrade(older_database)
    url = _role(older_database, "runtime")
    store = Store(url, Settings(home=tmp_path, database_url=SecretStr(url)))
    text = (Path(__file__).parents[3] / "docs" / "adopting.md").read_text(encoding="utf-8")
    (script,) = re.findall(
        r"^BEGIN;\nDROP VIEW IF EXISTS promotion_pipeline_requests;\nALTER .*?COMMIT;", text, re.M | re.S
    )
    with connect(older_database) as connection:
        for statement in runtime_grants(connection, "runtime"):
            connection.execute(statement.encode())
        connection.execute(script.encode())
        with pytest.raises(DependencyError, match=r"promotion_pipeline_requests is missing: .*db upgrade"):
            require_schema(store)
        migrate.upgrade(older_database)
    require_schema(store)
    seed_experiment(Store(older_database, store.settings), "checkout", users=2000)
    with store.connect() as connection:
        assert roll_up_missing(store, newest_complete_hour(connection)).requests == 20_000


def test_dagsters_database_has_an_encoding_where_those_of_the_server_have_none() -> None:
    binaries = binaries_of(15)
    if binaries is None:
        pytest.skip("PostgreSQL 15 is not installed")
    with running(binaries, "SQL_ASCII") as url:
        create_database(url.format("postgres"), "dagster")
        with connect(url.format("dagster")) as connection:
            assert connection.info.parameter_status("server_encoding") == "UTF8"


def test_a_role_without_temporary_tables_is_refused_by_name(older_database: str, tmp_path: Path) -> None:
    migrate.upgrade(older_database)
    url = _role(older_database, "bare")
    with connect(older_database) as connection:
        connection.execute(f'GRANT CONNECT ON DATABASE "{connection.info.dbname}" TO bare'.encode())
        connection.execute("GRANT SELECT ON promotion_pipeline_version TO bare")
    with pytest.raises(DependencyError, match="db grants"):
        require_schema(Store(url, Settings(home=tmp_path)))


def test_tables_of_another_role_are_refused_with_the_grant_that_helps(older_database: str) -> None:
    url = _role(older_database, "upgrader")
    with connect(older_database) as connection:
        connection.execute(
            "CREATE TABLE ab_experiments (id uuid PRIMARY KEY, name text UNIQUE, is_active boolean,"
            " start_date timestamptz)"
        )
        connection.execute(f'GRANT ALL ON DATABASE "{connection.info.dbname}" TO upgrader'.encode())
        connection.execute("GRANT ALL ON SCHEMA public TO upgrader")
    with pytest.raises(AdoptionError, match='GRANT "postgres" TO'):
        migrate.upgrade(url)


def test_an_empty_search_path_is_refused_by_name(older_database: str) -> None:
    with pytest.raises(AdoptionError, match="names no schema"):
        migrate.upgrade(older_database + "&options=-csearch_path%3D")


def test_a_teams_own_alembic_version_is_neither_read_nor_touched(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.execute(
            "CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('0003')"
        )
        assert migrate.upgrade(empty_database) == migrate.head_revision() == migrate.revision_of(connection)
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [{"version_num": "0003"}]


def test_our_revision_moves_out_of_a_table_that_a_team_uses_too(store: Store) -> None:
    with store.connect() as connection:
        connection.execute(
            "CREATE TABLE alembic_version (version_num varchar(32));INSERT INTO alembic_version VALUES ('ae1027a6acf')"
        )
        connection.execute("INSERT INTO alembic_version SELECT version_num FROM promotion_pipeline_version")
        connection.execute("DROP TABLE promotion_pipeline_version")
        assert migrate.revision_of(connection) == migrate.head_revision()
        migrate._move_revision(connection)
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [{"version_num": "ae1027a6acf"}]
        assert migrate.revision_of(connection) == migrate.head_revision()


def test_an_experiment_is_deleted_with_what_was_worked_out_and_its_history_stays(store: Store) -> None:
    seeded = seed_experiment(store, "checkout", users=500)
    with store.connect() as connection:
        roll_up_missing(store, newest_complete_hour(connection))
        promote_winner("checkout", "manual", "maria", store=store)
        connection.execute("DELETE FROM ab_variants WHERE experiment_id = %s", [seeded.id])
        connection.execute("DELETE FROM ab_experiments WHERE id = %s", [seeded.id])
        for table in ("ab_experiment_phases", "hourly_variant_rollups", "hourly_user_rollups"):
            assert count(store, f"SELECT count(*) FROM {table}") == 0
        row = connection.execute("SELECT state, rollback_reason FROM experiment_promotions").fetchone()
        hours = connection.execute("SELECT sum(requests - unassigned_requests) AS n FROM rollup_hours").fetchone()
    assert row == {"state": "rolled_back", "rollback_reason": "the experiment was deleted"}
    assert hours == {"n": 0}
    assert watch_promotions(store) == ()


def test_a_draft_is_not_running_until_it_has_a_start(store: Store) -> None:
    with store.connect() as connection:
        connection.execute("ALTER TABLE ab_experiments ALTER start_date DROP NOT NULL")
        seeded = seed_experiment(store, "checkout")
        _set_start(connection, "NULL")
        assert unnoted_experiments(connection) == set()
        assert auto_check_promotions("cron", store=store).checked == 0
        _set_start(connection, "now() - interval '1 day'")
    assert count(store, "SELECT count(*) FROM ab_experiment_phases WHERE experiment_id = %s", seeded.id) == 2


def _set_start(connection: Connection, value: str) -> None:
    connection.execute(f"UPDATE ab_experiments SET start_date = {value}".encode())


def test_a_data_only_restore_of_the_applications_tables_is_followed(older_database: str, tmp_path: Path) -> None:
    binaries = binaries_of(15)
    assert binaries is not None
    migrate.upgrade(older_database)
    store = Store(older_database, Settings(home=tmp_path))
    seed_experiment(store, "checkout")
    own = ["-t", "ab_experiments", "-t", "ab_variants"]
    dump = subprocess.run([binaries / "pg_dump", "--data-only", *own, older_database], check=True, capture_output=True)
    with store.connect() as connection:
        connection.execute("DELETE FROM ab_variants; DELETE FROM ab_experiments")
    done = subprocess.run(
        [binaries / "psql", "-v", "ON_ERROR_STOP=1", "-q", older_database],
        input=dump.stdout,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert count(store, "SELECT count(*) FROM ab_experiment_phases WHERE is_running AND ended_at IS NULL") == 1
