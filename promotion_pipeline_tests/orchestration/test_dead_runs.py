"""A run whose process or host died is found out, also when its code server died with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus

from promotion_pipeline.orchestration.signs_of_life import forget_sign, last_sign, note_sign, this_worker
from promotion_pipeline.run_launcher import SILENT_SECONDS, WatchfulRunLauncher
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import count

RUN = dg.DagsterRun(job_name="hourly_promotion_job", run_id="0a1b2c3d")
WORKER = """
import sys, time
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.orchestration.signs_of_life import note_sign, this_worker
note_sign(Store(sys.argv[1], Settings()), sys.argv[2], this_worker())
print("noted", flush=True)
time.sleep(600)
"""
ELSEWHERE = replace(this_worker(), host="db7", machine="another machine")


@pytest.fixture
def launcher(store_environment: dict[str, str]) -> WatchfulRunLauncher:
    return WatchfulRunLauncher()


@pytest.fixture
def worker(store: Store, store_environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that works on the run."""
    command = [sys.executable, "-c", WORKER, store.url, RUN.run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "noted\n"
        yield process
        process.kill()


def status(launcher: WatchfulRunLauncher) -> WorkerStatus:
    return launcher.check_run_worker_health(RUN).status


def test_a_run_is_dead_as_soon_as_its_process_is_gone(
    launcher: WatchfulRunLauncher, worker: subprocess.Popen[str]
) -> None:
    assert status(launcher) is WorkerStatus.RUNNING
    worker.kill()
    # Dead and not buried yet: its number is still taken.
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert launcher.check_run_worker_health(RUN).status is WorkerStatus.FAILED
    worker.wait()
    found = launcher.check_run_worker_health(RUN)
    assert (found.status, str(worker.pid) in (found.msg or "")) == (WorkerStatus.FAILED, True)


def test_a_later_process_with_the_same_number_is_not_taken_for_the_run(
    launcher: WatchfulRunLauncher, store: Store
) -> None:
    note_sign(store, RUN.run_id, replace(this_worker(), process_started="1"))
    assert status(launcher) is WorkerStatus.FAILED


def test_a_run_on_another_host_is_dead_when_it_was_silent_at_two_looks(
    launcher: WatchfulRunLauncher, store: Store
) -> None:
    note_sign(store, RUN.run_id, ELSEWHERE)
    assert status(launcher) is WorkerStatus.RUNNING
    with store.connect() as connection:
        connection.execute("UPDATE run_signs_of_life SET seen_at = seen_at - %s * interval '1 s'", [SILENT_SECONDS + 1])
    assert status(launcher) is WorkerStatus.RUNNING
    assert status(launcher) is WorkerStatus.FAILED
    note_sign(store, RUN.run_id, ELSEWHERE)
    assert status(launcher) is WorkerStatus.RUNNING


def test_what_cannot_be_found_out_counts_as_living(
    launcher: WatchfulRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(launcher) is WorkerStatus.RUNNING
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert status(launcher) is WorkerStatus.RUNNING


def test_a_step_gives_signs_of_life_and_leaves_none_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(store: Store) -> tuple[()]:
        with store.connect() as connection:
            seen.extend(connection.execute("SELECT run_id, process_id FROM run_signs_of_life").fetchall())
        return ()

    monkeypatch.setattr("promotion_pipeline.orchestration.assets.watch.watch_promotions", watched)
    result = stage.graph.run_assets(["promotion_watch"])
    assert seen == [{"run_id": result.run_id, "process_id": this_worker().process_id}]
    assert count(stage.store, "SELECT count(*) FROM run_signs_of_life") == 0


def test_what_a_dead_run_left_is_removed_in_time(store: Store) -> None:
    note_sign(store, "dead", ELSEWHERE)
    with store.connect() as connection:
        connection.execute("UPDATE run_signs_of_life SET seen_at = seen_at - interval '25 hours'")
    note_sign(store, "alive", ELSEWHERE)
    note_sign(store, RUN.run_id, this_worker())
    forget_sign(store, RUN.run_id, this_worker())
    assert (last_sign(store, "dead"), last_sign(store, RUN.run_id)) == (None, None)
    assert last_sign(store, "alive") is not None
