"""The watch between the hours: it looks whether or not an experiment runs, and runs only where there is something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from promotion_pipeline import acknowledge_breach, get_promotion_history, promote_winner
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.promotion.record.watched import AlarmKind
from promotion_pipeline.promotion.watch.alarms import alarms_of
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.rollups.places import Place, place
from promotion_pipeline_tests.seeding import (
    WINNER,
    Seeded,
    VariantSpec,
    add_requests,
    count,
    let_time_pass,
    seed_experiment,
    split_of,
)

FAILING = VariantSpec("treatment", requests=600, conversions=78, errors=180)


def lone_promotion(store: Store, **config: object) -> Seeded:
    """One experiment, promoted 49 hours ago and watched for longer; nothing else runs."""
    seeded = seed_experiment(store, "checkout", WINNER, promotion_config={"watchHours": 100, **config})
    promote_winner("checkout", "auto", "sensor", store=store)
    let_time_pass(store, seeded, 49)
    return seeded


def fail(store: Store, seeded: Seeded) -> None:
    """30 % errors in the last five minutes."""
    with store.connect() as connection:
        row = connection.execute("SELECT clock_timestamp() AS at").fetchone()
    assert row is not None
    end: datetime = row["at"].astimezone(UTC)
    add_requests(store, seeded, FAILING, start=end - timedelta(minutes=5), end=end)


def check_of(stage: Stage, name: str) -> bool | None:
    """Whether the newest answer to a check of the watch was yes."""
    records = stage.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(names.WATCH), name), limit=1
    )
    return None if not records or records[0].event is None else records[0].status.value == "SUCCEEDED"


def test_a_lone_promotion_that_fails_is_rolled_back_although_no_experiment_runs(stage: Stage) -> None:
    seeded = lone_promotion(stage.store, autoRollback=True)
    fail(stage.store, seeded)
    assert stage.graph.tick_schedule(stage.newest) is None, "no experiment runs: there is nothing to decide"
    run = stage.graph.tick_watch()
    assert run is not None and run.success
    record = get_promotion_history("checkout", store=stage.store)[0]
    assert (record.state.value, record.rolled_back_by) == ("rolled_back", "promotion_watch")
    assert split_of(stage.store, seeded) == {"control": Decimal(100), "treatment": Decimal(0)}
    assert count(stage.store, "SELECT count(*) FROM notification_outbox WHERE event = 'watch_breach'") == 1
    assert stage.graph.tick_watch() is None


def test_nothing_watched_and_nothing_wrong_start_no_run(stage: Stage) -> None:
    assert stage.graph.tick_watch() is None
    seeded = seed_experiment(stage.store, "checkout", WINNER)
    promote_winner("checkout", "auto", "sensor", store=stage.store)
    assert stage.graph.tick_watch() is None
    let_time_pass(stage.store, seeded, 200)
    assert stage.graph.tick_watch() is None


def test_a_breach_fails_an_asset_check_until_somebody_deals_with_it(stage: Stage) -> None:
    seeded = lone_promotion(stage.store)
    fail(stage.store, seeded)
    assert stage.graph.tick_watch() is not None
    assert check_of(stage, "no_winner_is_worse_than_promised") is False
    assert stage.graph.tick_watch() is None, "told already"
    acknowledge_breach("checkout", "the bank was down", "anna", store=stage.store)
    assert stage.graph.tick_watch() is not None, "the catalog hears of it"
    assert check_of(stage, "no_winner_is_worse_than_promised") is True


def test_a_check_of_the_watch_can_be_asked_alone(stage: Stage) -> None:
    assert stage.graph.run_assets([names.WATCH], checks_only=True).success
    assert check_of(stage, "promoted_splits_stand") is True


def moved(stage: Stage, tmp_path: Path, name: str) -> tuple[Stage, Place]:
    """The same stage with its requests in a log at another place."""
    where = place(name, stage.store, tmp_path, "")
    where.move_requests()
    return stage.with_settings(source=where.store.settings.source), where


def test_a_log_elsewhere_is_watched_alike(stage: Stage, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    seeded = lone_promotion(stage.store, autoRollback=True)
    fail(stage.store, seeded)
    there, _ = moved(stage, tmp_path, "DuckDB")
    assert there.graph.tick_watch() is not None
    record = get_promotion_history("checkout", store=stage.store)[0]
    assert record.state.value == "rolled_back"
    assert record.rollback_reason is not None and "error rate 30.00 %" in record.rollback_reason


def test_a_log_that_cannot_be_read_is_told_of_after_an_hour(stage: Stage, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    seeded = lone_promotion(stage.store, autoRollback=True)
    fail(stage.store, seeded)
    there, where = moved(stage, tmp_path, "DuckDB")
    for path in where.folder.glob("*.parquet"):
        path.write_bytes(b"no parquet")
    assert there.graph.tick_watch() is not None, "since when it is blind is kept"
    assert alarms_of("checkout", store=stage.store) == ()
    with stage.store.connect() as connection:
        connection.execute("UPDATE promotion_watch SET blind_since = blind_since - interval '1 hour'")
    assert there.graph.tick_watch() is not None
    (alarm,) = alarms_of("checkout", store=stage.store)
    assert (alarm.kind, "the request log cannot be read" in alarm.message) == (AlarmKind.BLIND, True)
    assert there.graph.tick_watch() is None


def test_the_job_and_the_hourly_run_both_look(stage: Stage) -> None:
    graph = InProcess(stage.instance, stage.store, log_level="CRITICAL")
    assert graph.run_job(names.WATCH_JOB).success
    assert graph.run_hours(stage.hours_ago(1), stage.newest).success
    records = stage.instance.fetch_materializations(dg.AssetKey(names.WATCH), limit=10).records
    assert len(records) == 2
