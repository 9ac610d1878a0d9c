"""What runs every hour, or whenever a page is opened, reads no large table from end to end.

PostgreSQL itself counts the rows that sequential scans read: the plans that were used, not those that were hoped for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from psycopg import sql

from promotion_pipeline.benchmark.seed import HISTORY_HOURS, seed_hours
from promotion_pipeline.config import Settings
from promotion_pipeline.decisions import health
from promotion_pipeline.decisions.recorded import first_undecided_hour
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.promotion.history.evidence import lift_series, sparklines
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.history.overview import experiment_overviews
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.unattended.pending import pending_promotions
from promotion_pipeline.rollups.conservation import unbalanced_hours
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.postgresql.days import ensure_days
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.databases import copied_database

HOUR = timedelta(hours=1)
EXPERIMENTS = 100
LARGE = ("ai_requests", "hourly_variant_rollups", "variant_metrics", "significance_results", "eligibility_decisions")


@pytest.fixture(scope="module")
def busy(server: EmbeddedServer, server_home: Path) -> Iterator[tuple[Store, datetime]]:
    """Two weeks of 100 experiments, all but the newest hour decided; the store, and the end of the newest hour."""
    with copied_database(server, TEMPLATE, "plans") as url:
        store = Store(url, Settings(home=server_home))
        yield store, _fill(store)


def _fill(store: Store) -> datetime:
    with store.connect() as connection:
        end = seed_hours(connection, EXPERIMENTS, 3_000, 20)
    first = (end - HISTORY_HOURS * HOUR).date()
    ensure_days(store, first, end.date())
    evaluate_window(store, end - 240 * HOUR, end - HOUR)
    with store.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
    return end


def _scanned(store: Store) -> dict[str, int]:
    """Rows read by sequential scans so far, by large table; partitions count for their table."""
    with store.connect() as connection:
        deadline = time.monotonic() + 30
        # A backend hands in its counts when it ends.
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        ).fetchall():
            assert time.monotonic() < deadline, "a connection was left open"
            time.sleep(0.02)
        rows = connection.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables").fetchall()
    return {table: sum(row["seq_tup_read"] for row in rows if row["relname"].startswith(table)) for table in LARGE}


def _touched(store: Store) -> dict[str, int]:
    """Rows read so far by any scan, through an index as well, by table; partitions count for their table."""
    _scanned(store)
    tables = ("ai_requests", "hourly_user_rollups")
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables"
        ).fetchall()
    return {table: sum(row["read"] for row in rows if row["relname"].startswith(table)) for table in tables}


def _rows(store: Store) -> dict[str, int]:
    with store.connect() as connection:
        return {
            table: connection.execute(
                sql.SQL("SELECT count(*) AS rows FROM {}").format(sql.Identifier(table))
            ).fetchall()[0]["rows"]
            for table in LARGE
        }


def _an_experiment(store: Store) -> tuple[UUID, UUID, UUID, str]:
    with store.connect() as connection:
        row = connection.execute(
            """SELECT phase.experiment_id, phase.id, variant.id AS variant_id, experiment.name
            FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
            JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
            WHERE NOT variant.is_control LIMIT 1"""
        ).fetchone()
    assert row is not None
    return row["experiment_id"], row["id"], row["variant_id"], row["name"]


def _hourly_work(store: Store, end: datetime) -> None:
    rollup_window(store, end - HOUR, end)
    refresh_totals(store, end)
    evaluate_window(store, end - HOUR, end)


def _series(store: Store, end: datetime) -> None:
    experiment, phase, variant, _ = _an_experiment(store)
    lift_series(store, experiment, phase, variant, 200)
    sparklines(store, [experiment])


def _one_check(store: Store, end: datetime) -> None:
    name = _an_experiment(store)[3]
    check_promotion_eligibility(name, store=store)
    get_promotion_history(name, store=store)


WORK: dict[str, Callable[[Store, datetime], object]] = {
    "what the sensor asks": lambda store, end: pending_promotions(store),
    "which hours are to be decided": lambda store, end: first_undecided_hour(store, end - 48 * HOUR, end),
    "whether requests are conserved": lambda store, end: unbalanced_hours(store, end - HOUR, end),
    "whether requests are fresh": lambda store, end: freshness(store, end),
    "whether metrics are possible": lambda store, end: health.impossible_metrics(store, end - HOUR, end),
    "the list of experiments": lambda store, end: experiment_overviews(store),
    "the chart of an experiment": _series,
    "one experiment's check and history": _one_check,
    "the rollup and the decisions of an hour": _hourly_work,
}


@pytest.mark.parametrize("work", WORK)
def test_no_large_table_is_read_whole(busy: tuple[Store, datetime], work: str) -> None:
    store, end = busy
    if work == "the rollup and the decisions of an hour":
        # Once a day the totals are made from all there is.
        refresh_totals(store, end)
    rows, before = _rows(store), _scanned(store)
    WORK[work](store, end)
    after = _scanned(store)
    read = {table: after[table] - before[table] for table in LARGE}
    assert {table: count for table, count in read.items() if count > 0.2 * rows[table]} == {}


def test_the_users_of_an_hour_cost_the_requests_of_the_hour(busy: tuple[Store, datetime]) -> None:
    store, end = busy
    rollup_window(store, end - 20 * HOUR, end)
    with store.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
        late = connection.execute(
            """INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at)
            SELECT experiment_id, variant_id, user_id, created_at FROM ai_requests WHERE created_at >= %s""",
            (end - HOUR,),
        ).rowcount
    before = _touched(store)
    rollup_window(store, end - HOUR, end)
    after = _touched(store)
    # The hour has twice as many requests now: read once for the sums, once for the users.
    assert after["ai_requests"] - before["ai_requests"] < 5 * late
    assert after["hourly_user_rollups"] - before["hourly_user_rollups"] < 5 * late


def test_a_table_that_is_read_whole_is_found_out(busy: tuple[Store, datetime]) -> None:
    store, _ = busy
    rows, before = _rows(store), _scanned(store)
    with store.connect() as connection:
        connection.execute("SELECT sum(conversions) FROM variant_metrics")
    assert _scanned(store)["variant_metrics"] - before["variant_metrics"] == rows["variant_metrics"]
