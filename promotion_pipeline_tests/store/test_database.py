"""Opening the store: embedded or given, its schema, and what is said when it cannot be reached."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError, DependencyError, InputError
from promotion_pipeline.store import migrate
from promotion_pipeline.store.bulk import read_frame
from promotion_pipeline.store.clock import database_now, newest_complete_hour, require_utc
from promotion_pipeline.store.connection import checked_url, connect, create_database
from promotion_pipeline.store.database import Connection, Store, current_store, open_store
from promotion_pipeline.store.outbox import enqueue
from promotion_pipeline_tests.seeding import count

PASSWORD = "s3cret-pässword"
NOWHERE = f"postgresql://someone:{PASSWORD}@127.0.0.1:9/things"


def test_an_empty_database_upgrades_to_the_head(empty_database: str) -> None:
    assert migrate.current_revision(empty_database) is None
    assert migrate.upgrade(empty_database) == migrate.head_revision()
    assert migrate.current_revision(empty_database) == migrate.head_revision()
    assert migrate.upgrade(empty_database) == migrate.head_revision()


def test_the_revisions_are_one_line_that_ends_at_the_head() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [migrate.head_revision()]
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert sorted(numbers, reverse=True) == numbers
    sql_files = {path.stem for path in (migrate.MIGRATIONS / "versions").glob("*.sql")}
    assert sql_files == {path.stem for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*.py")}


def test_a_teams_own_tables_are_adopted(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.execute(
            """
            CREATE TABLE ab_experiments (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE,
                is_active boolean NOT NULL DEFAULT true, start_date timestamptz NOT NULL DEFAULT now());
            CREATE TABLE ab_variants (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(), experiment_id uuid NOT NULL REFERENCES ab_experiments,
                name text NOT NULL, is_control boolean NOT NULL, traffic_percentage numeric(5, 2) NOT NULL);
            INSERT INTO ab_experiments (name, start_date) VALUES ('old', '2026-01-01Z');
            INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
            SELECT id, 'control', true, 100 FROM ab_experiments;
            """
        )
        migrate.upgrade(empty_database)
        phases = connection.execute("SELECT started_at FROM ab_experiment_phases").fetchall()
    assert phases == [{"started_at": datetime(2026, 1, 1, tzinfo=UTC)}]


def test_processes_that_start_together_upgrade_once(empty_database: str) -> None:
    script = "import sys; from promotion_pipeline.store.migrate import upgrade; print(upgrade(sys.argv[1]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, empty_database], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert {process.communicate(timeout=120)[0].strip() for process in processes} == {migrate.head_revision()}


def test_the_embedded_store_has_its_schema_and_keeps_its_data(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    for experiments in (0, 1):
        with open_store(settings) as store, store.connect() as connection:
            assert migrate.revision_of(connection) == migrate.head_revision()
            found = connection.execute("SELECT count(*) AS n FROM ab_experiments").fetchone()
            assert found == {"n": experiments}
            connection.execute("INSERT INTO ab_experiments (name) VALUES ('a')  ON CONFLICT DO NOTHING")


def test_a_given_database_is_used_and_not_touched(empty_database: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "unused", database_url=SecretStr(empty_database))
    with pytest.raises(DependencyError, match="promotion-pipeline db upgrade"), open_store(settings):
        pass
    migrate.upgrade(empty_database)
    with open_store(settings) as store, store.connect() as connection:
        assert connection.execute("SELECT current_setting('TimeZone') AS zone").fetchone() == {"zone": "UTC"}
        connection.execute("UPDATE promotion_pipeline_version SET version_num = '9999'")
    with pytest.raises(DependencyError, match="newer than"), open_store(settings):
        pass
    with pytest.raises(DependencyError, match="newer than"):
        migrate.upgrade(empty_database)
    assert not (tmp_path / "unused").exists()


def test_the_current_store_is_opened_once(store: Store, store_environment: dict[str, str]) -> None:
    assert current_store() is current_store()
    assert current_store().url == store.url


def test_the_current_store_is_given_back_when_the_process_exits(tmp_path: Path) -> None:
    script = """
from promotion_pipeline.store.database import current_store
with current_store().connect() as connection:
    print(connection.execute("SELECT count(*) AS n FROM ab_experiments").fetchone()["n"])
"""
    environment = {"PATH": "/usr/bin:/bin", "AUTO_PROMOTION_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert not (tmp_path / "postgres" / "data" / "postmaster.pid").exists()


def test_dagster_has_a_database_of_its_own(store: Store) -> None:
    assert store.dagster_url.startswith("postgresql+psycopg2://postgres@/dagster?host=")
    with connect(store.url_of("dagster")) as connection:
        assert connection.execute("SELECT current_database() AS name").fetchone() == {"name": "dagster"}
    given = Settings(database_url=SecretStr(store.url), dagster_database_url=SecretStr("postgresql://u:p@h/d"))
    assert Store(store.url, given).dagster_url == "postgresql+psycopg2://u:p@h/d"


def test_making_a_database_twice_is_no_error(store: Store) -> None:
    create_database(store.url, "made_twice")
    create_database(store.url, "made_twice")
    assert count(store, "SELECT count(*) FROM pg_database WHERE datname = 'made_twice'") == 1


def test_a_database_that_is_down_is_one_clear_line_without_its_password(tmp_path: Path) -> None:
    store = Store(NOWHERE, Settings(database_url=SecretStr(NOWHERE)))
    attempts = (
        store.connect,
        lambda: connect(NOWHERE),
        lambda: migrate.current_revision(NOWHERE),
        lambda: migrate.upgrade(NOWHERE),
        lambda: read_frame(store, psycopg.sql.SQL("SELECT 1").format()),
        lambda: open_store(Settings(database_url=SecretStr(NOWHERE))).__enter__(),
    )
    for attempt in attempts:
        with pytest.raises(DependencyError) as caught:
            attempt()
        text = str(caught.value)
        assert "127.0.0.1" in text and "AUTO_PROMOTION_DATABASE_URL" in text
        assert PASSWORD not in text and "\n" not in text
        assert caught.value.exit_code == 5
    assert PASSWORD not in repr(store)


@pytest.mark.parametrize(
    "url", ["mysql://a@b/c", "localhost", f"postgresql://u:{PASSWORD}%zz@h/d", "", "postgresql:/x"]
)
def test_a_malformed_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="percent-encoded") as caught:
        checked_url(url)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_usual_scheme_is_taken(scheme: str) -> None:
    assert checked_url(f"{scheme}://u:p@h:5432/d") == "postgresql://u:p@h:5432/d"


def test_the_clock_is_the_databases(connection: Connection) -> None:
    newest = newest_complete_hour(connection)
    assert newest.utcoffset() == timedelta(0)
    assert (newest.minute, newest.second, newest.microsecond) == (0, 0, 0)
    assert newest <= database_now(connection) < newest + timedelta(hours=1, seconds=5)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InputError, match="as_of 2026-01-01T00:00:00 has no time zone"):
        require_utc(datetime(2026, 1, 1), "as_of")  # noqa: DTZ001


def test_a_notification_is_put_in_the_outbox_once(connection: Connection) -> None:
    with connection.transaction():
        assert enqueue(connection, "promotion", "info", None, None, "key", {"name": "ö'\""})
        assert not enqueue(connection, "promotion", "info", None, None, "key", {"name": "other"})
    rows = connection.execute("SELECT event, level, payload FROM notification_outbox").fetchall()
    assert rows == [{"event": "promotion", "level": "info", "payload": {"name": "ö'\""}}]
    with pytest.raises(ZeroDivisionError), connection.transaction():
        enqueue(connection, "rollback", "critical", None, None, "other", {})
        raise ZeroDivisionError
    assert len(connection.execute("SELECT 1 FROM notification_outbox").fetchall()) == 1


def test_a_misspelt_parameter_of_the_url_is_named_and_nothing_that_may_be_a_password() -> None:
    with pytest.raises(ConfigError, match="'sslmod', which PostgreSQL does not know: write sslmode"):
        checked_url("postgresql://me:pw@db/app?sslmod=require")
    with pytest.raises(ConfigError, match="percent-encoded") as refused:
        checked_url("postgresql://me:pw@db/app?hunter2=x")
    assert "hunter" not in str(refused.value)
