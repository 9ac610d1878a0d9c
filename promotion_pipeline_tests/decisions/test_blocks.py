"""A long evaluation in blocks: a failed one is tried again alone, and a killed evaluation goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta

import pandas as pd
import pytest

from promotion_pipeline.decisions import blocks, window
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.cli.conftest import Run, run, run_anywhere
from promotion_pipeline_tests.history.quarter import TABLES, rows_of
from promotion_pipeline_tests.history.test_late_rows import CONTROL_CONVERTS
from promotion_pipeline_tests.seeding import VariantSpec, add_requests, count, seed_experiment

__all__ = ["run", "run_anywhere"]

HOUR = timedelta(hours=1)
HOURS = 720
NAMES = [f"experiment-{number}" for number in range(8)]
ARMS = [VariantSpec("control", is_control=True), VariantSpec("treatment")]
PER_BLOCK = 2
ROLLUPS = """
    INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
        latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares, newest_request_at)
    SELECT hour, phase.experiment_id, phase.id, variant.id, 40 + n %% 7, 3 + n %% 3 + (NOT is_control)::integer, n %% 2,
        40, 4000 + n / 7.0, 4e5 + n / 3.0, 100 + n / 11.0, 500 + n / 13.0, hour + interval '59 minutes'
    FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
    CROSS JOIN LATERAL (SELECT hour, row_number() OVER (ORDER BY hour) AS n
        FROM generate_series(phase.started_at, %(end)s - interval '1 hour', '1 hour') AS hour) AS hours
    """
REFUSES = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') <= {times} THEN
            RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON eligibility_decisions FOR EACH ROW
        WHEN (NEW.experiment_id = '{id}' AND NEW.hour = '{hour}') EXECUTE FUNCTION refuse()
    """
EVALUATE = f"""
from promotion_pipeline.decisions import window
window.DECISIONS_PER_BLOCK = {PER_BLOCK * HOURS}
from promotion_pipeline.cli.main import main
main()
"""


@pytest.fixture
def end(store: Store, connection: Connection) -> datetime:
    """Eight experiments with the sums of 720 hours; returns the newest as-of."""
    newest = newest_complete_hour(connection)
    for name in NAMES:
        seed_experiment(store, name, ARMS, start=newest - HOURS * HOUR, end=newest)
    connection.execute("UPDATE ab_experiments SET rollup_source = 'imported'")
    connection.execute(ROLLUPS, {"end": newest})
    return newest


def tables(store: Store) -> dict[str, pd.DataFrame]:
    """Every row of every label, but for when it was written."""
    labels = count(store, "SELECT count(DISTINCT label) FROM eligibility_decisions")
    assert labels == 1
    found = {}
    for table in TABLES:
        frame = rows_of(store, table, "record")
        found[table] = frame.sort_values(list(frame.columns), ignore_index=True)
    return found


def assert_as_if_in_one_go(store: Store, connection: Connection, end: datetime, hours: int) -> None:
    left = tables(store)
    assert count(store, "SELECT count(*) FROM evaluation_blocks") == 0
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
    evaluate_window(store, end - hours * HOUR, end)
    for table, frame in tables(store).items():
        pd.testing.assert_frame_equal(left[table], frame)


def refuse(connection: Connection, name: str, hour: datetime, times: int) -> None:
    """Let the database refuse a decision so many times."""
    row = connection.execute("SELECT id FROM ab_experiments WHERE name = %s", [name]).fetchone()
    assert row is not None
    connection.execute(REFUSES.format(times=times, id=row["id"], hour=hour.isoformat()))


def test_a_block_that_fails_is_tried_again_alone(
    store: Store, connection: Connection, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "DECISIONS_PER_BLOCK", PER_BLOCK * 24)
    monkeypatch.setattr(blocks, "WAIT_SECONDS", 0)
    refuse(connection, "experiment-3", end - 5 * HOUR, times=1)
    told: list[str] = []
    done: list[int] = []
    evaluate_window(store, end - 24 * HOUR, end, tell=told.append, progress=lambda part, _: done.append(part))
    assert len(told) == 1
    assert "block 2 of 4 (experiments 'experiment-2' to 'experiment-3') failed (1 of 3 tries): the disk is" in told[0]
    assert done == [2, 4, 6, 8]
    assert_as_if_in_one_go(store, connection, end, 24)


def test_a_block_that_keeps_failing_is_named_and_the_same_evaluation_does_the_rest(
    store: Store, connection: Connection, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "DECISIONS_PER_BLOCK", PER_BLOCK * 24)
    monkeypatch.setattr(blocks, "WAIT_SECONDS", 0)
    refuse(connection, "experiment-3", end - 5 * HOUR, times=1_000)
    with pytest.raises(DependencyError, match=r"1 of 4 blocks failed.*'experiment-2' to 'experiment-3'.*disk is full"):
        evaluate_window(store, end - 24 * HOUR, end)
    assert count(store, "SELECT count(*) FROM eligibility_decisions") == 6 * 24
    connection.execute("DROP TRIGGER refuse ON eligibility_decisions")
    again = evaluate_window(store, end - 24 * HOUR, end)
    assert (again.recorded, again.relabelled) == (2 * 24, 0)
    assert again.hours["experiments"].tolist() == [8] * 24
    assert_as_if_in_one_go(store, connection, end, 24)


def test_an_evaluation_of_720_hours_that_was_killed_goes_on_and_leaves_the_same_tables(
    store: Store, connection: Connection, end: datetime, store_environment: dict[str, str]
) -> None:
    arguments = ["evaluate", "--from", (end - HOURS * HOUR).isoformat(), "--to", end.isoformat()]
    command = [sys.executable, "-c", EVALUATE, *arguments]
    running = subprocess.Popen(command, env=store_environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while count(store, "SELECT count(*) FROM evaluation_blocks") == 0 and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.005)
    finally:
        running.kill()
        running.wait()
    written = count(store, "SELECT count(*) FROM eligibility_decisions")
    assert 0 < written < len(NAMES) * HOURS

    done = subprocess.run(command, env=store_environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert f"{len(NAMES) * HOURS - written:,} decisions of record, 0 beside it" in done.stderr
    assert_as_if_in_one_go(store, connection, end, HOURS)


def test_what_changed_since_an_evaluation_was_cut_off_is_done_again(
    store: Store, connection: Connection, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "DECISIONS_PER_BLOCK", PER_BLOCK * 24)
    monkeypatch.setattr(blocks, "WAIT_SECONDS", 0)
    refuse(connection, "experiment-3", end - 5 * HOUR, times=3)
    with pytest.raises(DependencyError):
        evaluate_window(store, end - 24 * HOUR, end)
    connection.execute(
        "UPDATE hourly_variant_rollups SET conversions = conversions + 1 WHERE hour = %s AND experiment_id ="
        " (SELECT id FROM ab_experiments WHERE name = 'experiment-0')",
        [end - 2 * HOUR],
    )
    again = evaluate_window(store, end - 24 * HOUR, end)
    # The block of experiment-0 is written again beside its record; the others are left, or made for the first time.
    assert (again.recorded, again.relabelled) == (2 * 24, 2 * 24)
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 8 * 24


def test_the_command_tells_which_requests_came_late(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    window_of = ["--from", (seeded.end - 90 * HOUR).isoformat(), "--to", (seeded.end - 40 * HOUR).isoformat()]
    assert run("evaluate", *window_of).code == 0
    at = seeded.end - 45 * HOUR
    add_requests(store, seeded, CONTROL_CONVERTS, start=at, end=at + HOUR)
    told = run("evaluate", *window_of, "--roll-up", "--json")
    assert told.code == 0, told.err
    (late,) = told.data["lateVerdicts"]
    assert late["experimentName"] == "checkout"
    assert {flip["recorded"].split(":")[0] for flip in late["flips"]} <= {"eligible", "promotable"}
    assert "rows that came late would change" in told.err
