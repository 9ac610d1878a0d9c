"""`python -m promotion_pipeline_tests.orchestration.dead_host`: the code server and the run die at once, by kill -9.

The hourly run of the hour before the last stands in the middle of its work when both are killed, as a host that goes
down does it. The real daemon finds the run dead, starts it again, and its own schedule decides the next hour when it
looks again, within ten minutes. Ends what it started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dagster as dg
import yaml

from promotion_pipeline.cli.dev import free_port
from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline_tests.orchestration.ramp_story import launch_hourly_job, own_environment, own_store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, count, seed_experiment

SIGNS = "SELECT count(*) FROM run_signs_of_life"
DECIDED = "SELECT count(*) FROM eligibility_decisions WHERE label = 'record' AND as_of = %s"
HOURLY = dg.RunsFilter(job_name=names.HOURLY_JOB)
# The schedule may have asked for the next hour meanwhile: that run waits in the queue.
AT_WORK = dg.RunsFilter(job_name=names.HOURLY_JOB, statuses=[dg.DagsterRunStatus.STARTED])
START_SECONDS = 120.0
FOUND_SECONDS = 300.0
"""A run that died must be found out within minutes."""
NEXT_HOUR_SECONDS = 1500.0


@contextmanager
def code_server(port: int, environment: dict[str, str], home: Path, module: str) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster api grpc`, as the unit file starts it."""
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port)]
    named = ["-m", module, "--location-name", "promotion_pipeline"]
    with process_group([*command, *named], environment, home, home / "code.log") as process:
        yield process


def answers(port: int) -> bool:
    """Whether the code server has loaded the graph: it listens only then."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(what: str, is_so: Callable[[], bool], seconds: float, begun: float) -> None:
    """Say when it is so.

    Raises:
        AssertionError: it took too long.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)
    sys.stdout.write(f"{time.monotonic() - begun:6.1f} s  {datetime.now(UTC):%H:%M:%S}  {what}\n")
    sys.stdout.flush()


def story(store: Store, instance: dg.DagsterInstance, module: str = "promotion_pipeline.definitions") -> None:
    """Kill, and wait for what comes of it."""
    home, environment = store.settings.home, dict(os.environ) | own_environment(store)
    with store.connect() as connection:
        newest = newest_complete_hour(connection)
    seed_experiment(store, "checkout", NO_DIFFERENCE)
    port = free_port("127.0.0.1", None)
    workspace = home / "workspace.yaml"
    location = {"host": "127.0.0.1", "port": port, "location_name": "promotion_pipeline"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
    daemon = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]
    begun = time.monotonic()
    # While the table is locked, the run stands in the middle of its first step.
    with code_server(port, environment, home, module) as server, store.connect() as lock:
        wait("the code server answers", lambda: answers(port), START_SECONDS, begun)
        with process_group(daemon, environment, home, home / "daemon.log"):
            with lock.transaction():
                lock.execute("LOCK TABLE hourly_variant_rollups IN ACCESS EXCLUSIVE MODE")
                launch_hourly_job(environment, newest - HOUR, workspace)
                wait("the hourly run is at work", lambda: count(store, SIGNS) == 1, START_SECONDS, begun)
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
            (dead,) = instance.get_run_ids(AT_WORK)
            wait("code server and run were killed", lambda: server.poll() is not None, 1, begun)
            with code_server(port, environment, home, module):
                rest(store, instance, dead, newest, begun)


def rest(store: Store, instance: dg.DagsterInstance, dead: str, newest: datetime, begun: float) -> None:
    """What the daemon does by itself."""

    def is_failed() -> bool:
        return cast(dg.DagsterRun, instance.get_run_by_id(dead)).status is dg.DagsterRunStatus.FAILURE

    wait(f"the dead run {dead[:8]} was found out", is_failed, FOUND_SECONDS, begun)
    before = newest - HOUR
    wait(f"{before:%H:%M} is decided", lambda: count(store, DECIDED, before) == 1, FOUND_SECONDS, begun)
    said = f"{newest:%H:%M}, the next hour, is decided"
    wait(said, lambda: count(store, DECIDED, newest) == 1, NEXT_HOUR_SECONDS, begun)
    for run in instance.get_runs(HOURLY, ascending=True):
        by = run.tags.get("dagster/schedule_name") or "hand" * (run.parent_run_id is None) or "the daemon, again"
        sys.stdout.write(f"         run {run.run_id[:8]} by {by}: {run.status.value}\n")


def main() -> int:
    """Tell the story."""
    with own_store() as store, open_instance(store) as instance:
        story(store, instance)
    return 0


if __name__ == "__main__":
    sys.exit(main())
