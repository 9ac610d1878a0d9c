"""Requests by the day: rows find their day, a window reads its days only, old days are dropped at once."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.rollups.conservation import unbalanced_hours
from promotion_pipeline.rollups.log import RollupResult
from promotion_pipeline.rollups.postgresql.days import drop_old_days, ensure_days, ensure_days_ahead
from promotion_pipeline.rollups.postgresql.rollup import aggregation, rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store import migrate
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, add_requests, seed_experiment

DAY = timedelta(days=1)
ARMS = [
    VariantSpec("control", is_control=True, requests=480, conversions=48),
    VariantSpec("treatment", requests=480, conversions=60),
]


def _seed(store: Store, days: int = 6) -> Seeded:
    """Requests of whole days, the last of which ends with yesterday."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return seed_experiment(store, "checkout", ARMS, start=end - days * DAY, end=end)


def _days(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT tableoid::regclass::text AS name, count(*) AS rows FROM ai_requests GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {row["name"]: row["rows"] for row in rows}


def _first_day(seeded: Seeded) -> date:
    return seeded.start.astimezone(UTC).date()


def test_requests_of_a_day_without_a_partition_are_kept_and_moved_when_it_is_made(
    store: Store, connection: Connection
) -> None:
    seeded = _seed(store)
    assert _days(connection) == {"ai_requests_default": 960}
    first = _first_day(seeded)
    assert ensure_days(store, first, first + 2 * DAY) == 3
    assert _days(connection) == {
        **{f"ai_requests_{first + number * DAY:%Y%m%d}": 160 for number in range(3)},
        "ai_requests_default": 480,
    }
    assert ensure_days(store, first, first + 5 * DAY) == 3
    assert "ai_requests_default" not in _days(connection)


def test_making_days_again_does_nothing(store: Store) -> None:
    assert ensure_days_ahead(store) == 8
    assert ensure_days_ahead(store) == 0


def test_a_day_begins_and_ends_at_midnight_utc(store: Store, connection: Connection) -> None:
    seeded = _seed(store, days=1)
    ensure_days(store, date(2026, 3, 29), date(2026, 3, 30))
    connection.execute("SET TIME ZONE 'Europe/Berlin'")
    for at in ("2026-03-29T23:59:59.999999Z", "2026-03-30T00:00:00Z"):
        connection.execute(
            "INSERT INTO ai_requests (experiment_id, variant_id, created_at) VALUES (%s, %s, %s)",
            [seeded.id, seeded.variant_ids["control"], at],
        )
    found = _days(connection)
    assert (found["ai_requests_20260329"], found["ai_requests_20260330"]) == (1, 1)


def test_sums_are_the_same_whatever_the_partitions(store: Store) -> None:
    seeded = _seed(store)
    before = rollups_as_of(store, seeded.end)
    ensure_days(store, _first_day(seeded) + DAY, _first_day(seeded) + 3 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    after = read_rollups(store, None, seeded.end)
    for name in ("requests", "conversions", "latency_ms_sum", "new_users"):
        assert after[name].sum() == pytest.approx(before[name].sum(), rel=1e-12)


def test_whoever_keeps_the_table_busy_is_not_waited_for_long(store: Store, connection: Connection) -> None:
    with connection.transaction():
        connection.execute("LOCK TABLE ai_requests_default IN ROW EXCLUSIVE MODE")
        assert ensure_days_ahead(store) == 0
    assert ensure_days_ahead(store) == 8


def test_a_rollup_reads_the_days_of_its_window_only(store: Store, connection: Connection) -> None:
    seeded = _seed(store)
    first = _first_day(seeded)
    ensure_days(store, first, first + 6 * DAY)
    read = {
        name
        for name in _relations(connection, aggregation(seeded.start + 2 * DAY, seeded.start + 3 * DAY))
        if name.startswith("ai_requests")
    }
    assert read == {f"ai_requests_{first + 2 * DAY:%Y%m%d}"}


def _relations(connection: Connection, query: Any) -> set[str]:
    row = connection.execute(psycopg.sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
    assert row is not None
    found: set[str] = set()
    nodes = [row["QUERY PLAN"][0]["Plan"]]
    while nodes:
        node = nodes.pop()
        found |= {node["Relation Name"]} if "Relation Name" in node else set()
        nodes.extend(node.get("Plans", []))
    return found


def test_every_day_has_the_index_of_few_kilobytes(store: Store, connection: Connection) -> None:
    ensure_days(store, date(2026, 3, 1), date(2026, 3, 1))
    rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'ai_requests_20260301'").fetchall()
    assert any("USING brin (created_at)" in row["indexdef"] for row in rows)


def test_old_days_are_dropped_and_their_sums_stay(store: Store, connection: Connection) -> None:
    seeded = _seed(store)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 5 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    sums = read_rollups(store, None, seeded.end)
    dropped = drop_old_days(store, 4)
    assert dropped.days == (_first_day(seeded), _first_day(seeded) + DAY)
    assert dropped.kept == ()
    assert sum(_days(connection).values()) == 4 * 160
    assert rollup_window(store, seeded.start, seeded.end).changed_rows == 0
    assert rollup_window(store, seeded.start, seeded.start + DAY) == RollupResult(0, 0, 0, 0)
    assert read_rollups(store, None, seeded.end)["requests"].sum() == sums["requests"].sum()
    assert unbalanced_hours(store, seeded.start, seeded.end) == []


def test_a_dry_run_drops_nothing(store: Store, connection: Connection) -> None:
    seeded = _seed(store)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 5 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    assert len(drop_old_days(store, 4, dry_run=True).days) == 2
    assert sum(_days(connection).values()) == 960


def test_a_day_that_was_never_rolled_up_is_kept_with_all_after_it(store: Store, connection: Connection) -> None:
    seeded = _seed(store, days=8)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 7 * DAY)
    rollup_window(store, seeded.start, seeded.start + DAY)
    rollup_window(store, seeded.start + 2 * DAY, seeded.end)
    dropped = drop_old_days(store, 4)
    assert dropped.days == (_first_day(seeded),)
    assert dropped.kept == tuple(_first_day(seeded) + number * DAY for number in (1, 2, 3))
    assert roll_up_missing(store, seeded.end).requests > 0
    assert len(drop_old_days(store, 4).days) == 3


def test_a_day_that_was_read_before_an_experiment_was_known_is_kept_until_it_is_read_for_it(store: Store) -> None:
    seeded = _seed(store, days=8)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 7 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    seed_experiment(store, "newcomer", start=seeded.start + DAY, end=seeded.end)
    assert drop_old_days(store, 4).days == (_first_day(seeded),)
    roll_up_missing(store, seeded.end)
    assert len(drop_old_days(store, 4).days) == 3


def test_days_within_the_look_back_cannot_be_dropped(store: Store) -> None:
    with pytest.raises(InputError, match="keep at least 4 days"):
        drop_old_days(store, 3)


def test_the_setting_is_checked_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"KEEP_REQUESTS_DAYS=3 is within .* at least 4 days"):
        Settings.from_environment({"AUTO_PROMOTION_KEEP_REQUESTS_DAYS": "3"})


def test_the_hourly_run_makes_days_and_drops_old_ones(store: Store, connection: Connection) -> None:
    seeded = _seed(store)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 5 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    keeping = Store(url=store.url, settings=store.settings.model_copy(update={"keep_requests_days": 4}))
    with open_instance(keeping) as instance:
        InProcess(instance, keeping).run_hours(seeded.end - timedelta(hours=1), seeded.end)
    assert sum(_days(connection).values()) == 4 * 160
    assert ensure_days_ahead(store) == 0


def test_the_command_says_what_it_would_drop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", store.url)
    seeded = _seed(store)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 5 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    command = [sys.executable, "-m", "promotion_pipeline.cli", "db", "drop-requests", "--keep-days", "4"]
    would = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
    assert would == f"2 days would be dropped, {_first_day(seeded)} to {_first_day(seeded) + DAY}\n"
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    assert json.loads(done)["dropped"] == [str(_first_day(seeded)), str(_first_day(seeded) + DAY)]


def test_late_requests_of_a_dropped_day_change_nothing(store: Store) -> None:
    seeded = _seed(store)
    ensure_days(store, _first_day(seeded), _first_day(seeded) + 5 * DAY)
    rollup_window(store, seeded.start, seeded.end)
    before = read_rollups(store, None, seeded.end)["requests"].sum()
    drop_old_days(store, 4)
    add_requests(store, seeded, ARMS[0], start=seeded.start, end=seeded.start + DAY)
    rollup_window(store, seeded.start, seeded.end)
    assert read_rollups(store, None, seeded.end)["requests"].sum() == before


PLAIN = """
    CREATE TABLE ab_experiments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE,
        is_active boolean NOT NULL DEFAULT true, start_date timestamptz NOT NULL DEFAULT now());
    CREATE TABLE ai_requests (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), experiment_id uuid NOT NULL,
        variant_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), latency_ms double precision,
        is_error boolean NOT NULL DEFAULT false, converted boolean NOT NULL DEFAULT false)
"""


def test_a_plain_table_of_a_team_keeps_working(store: Store, connection: Connection) -> None:
    connection.execute("CREATE DATABASE teams_own")
    url = store.url.replace(connection.info.dbname, "teams_own")
    try:
        with psycopg.connect(url, autocommit=True) as own:
            for statement in PLAIN.split(";"):
                own.execute(statement)
        migrate.upgrade(url)
        teams = Store(url=url, settings=store.settings)
        seeded = _seed(teams)
        assert ensure_days_ahead(teams) == 0
        assert rollup_window(teams, seeded.start, seeded.end).requests == 960
        assert drop_old_days(teams, 4).days == ()
    finally:
        connection.execute("DROP DATABASE teams_own WITH (FORCE)")
