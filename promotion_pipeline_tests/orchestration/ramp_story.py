"""`python -m promotion_pipeline_tests.orchestration.ramp_story`: a ramp and a rollback, done by the real daemon.

A winner is decided; the daemon's sensor promotes it to 75 percent, and to 100 after a clean hold; then its requests
begin to fail, and the hourly job rolls it back. Every chapter is read from the database and Dagster's event log.
It starts a PostgreSQL of its own in a temporary folder, and ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import SENSOR_NAME_TAG
from pydantic import SecretStr

from promotion_pipeline import get_promotion_history
from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import instance_environment, open_instance
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline_tests.seeding import WINNER, Seeded, VariantSpec, add_requests, seed_experiment, split_of

EXPERIMENT = "checkout"
WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"
HOLD_SECONDS = 10
"""How long the first step is held: short, since the daemon looks every half minute."""
CONFIG = {"rampSteps": [75, 100], "rampHoldHours": HOLD_SECONDS / 3600, "autoRollback": True}
HEALTHY = VariantSpec("treatment", requests=3_000, conversions=390, errors=30)
CONTROL = VariantSpec("control", is_control=True, requests=1_000, conversions=100, errors=10)
FAILING = VariantSpec("treatment", requests=3_000, conversions=390, errors=600)
BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Chapter:
    """What stands in the database, and what Dagster was told, when something had happened."""

    title: str
    seconds: float
    """Since the daemon was started."""
    state: str | None
    """Of the promotion; None: there is none."""
    split: dict[str, Decimal]
    is_active: bool
    hold: str | None
    reason: str | None
    """Of the rollback."""
    audit: tuple[tuple[str, str], ...]
    """Actor and action, oldest first."""
    outbox: tuple[str, ...]
    """Events of the notifications, oldest first."""
    told: tuple[str, ...]
    """Actions that have an event on `experiment_promotions`, oldest first."""
    runs: tuple[str, ...]
    """Runs that succeeded, oldest first, with the sensor that asked for them."""

    def __str__(self) -> str:
        """A paragraph."""
        split = ", ".join(f"{name} {share:g} %" for name, share in self.split.items())
        lines = [
            f"{self.seconds:5.1f} s  {self.title}",
            f"  traffic      {split}; promotion: {self.state or 'none'}; running: {self.is_active}; hold: {self.hold}",
            f"  audit        {', '.join(f'{action} by {actor}' for actor, action in self.audit) or 'nothing'}",
            f"  outbox       {', '.join(self.outbox) or 'nothing'}",
            f"  in Dagster   {', '.join(self.told) or 'nothing'}",
            f"  runs         {', '.join(self.runs)}",
        ]
        return "\n".join(lines)


@dataclass
class Narrator:
    """Seeds what the world does, waits for what the daemon does, reads what came of it."""

    store: Store
    instance: dg.DagsterInstance
    seeded: Seeded
    daemon: subprocess.Popen[bytes] | None = None
    begun: float | None = None
    hour: datetime = datetime(1, 1, 1, tzinfo=UTC)
    """End of the newest hour that is decided."""

    def decide(self) -> None:
        """Run the hourly job over the newest complete hour, unless that is decided."""
        with self.store.connect() as connection:
            newest = newest_complete_hour(connection)
        if newest > self.hour:
            self.hour = newest
            InProcess(self.instance, self.store, log_level="CRITICAL").run_hours(newest - HOUR, newest)

    def serve(self, *variants: VariantSpec) -> None:
        """Requests of the time since the split was last changed."""
        with self.store.connect() as connection:
            now = database_now(connection)
        since = self._promotions()[0].step_started_at
        for variant in variants:
            add_requests(self.store, self.seeded, variant, start=since, end=now)

    def wait_for(self, state: str) -> None:
        """Return when the promotion has this state and the runs that brought it there have ended.

        Raises:
            AssertionError: the daemon ended, or it takes too long.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._state() != state or self._is_busy():
            assert self.daemon is not None
            assert self.daemon.poll() is None, f"the daemon ended with {self.daemon.returncode} before {state!r}"
            assert time.monotonic() < deadline, f"still {self._state()!r} after {PATIENCE_SECONDS:g} s, not {state!r}"
            if self._state() is None:
                # If an hour has begun meanwhile, what was decided is not the newest any more.
                self.decide()
            time.sleep(POLL_SECONDS)

    def chapter(self, title: str) -> Chapter:
        """Everything as it stands now."""
        latest = next(iter(self._promotions()), None)
        with self.store.connect() as connection:
            row = connection.execute(
                "SELECT is_active, auto_promotion_hold FROM ab_experiments WHERE id = %s", [self.seeded.id]
            ).fetchone()
            audit = connection.execute("SELECT actor, action FROM promotion_audit ORDER BY id").fetchall()
            outbox = connection.execute("SELECT event FROM notification_outbox ORDER BY id").fetchall()
        assert row is not None
        return Chapter(
            title=title,
            seconds=0.0 if self.begun is None else time.monotonic() - self.begun,
            state=self._state(),
            split=split_of(self.store, self.seeded),
            is_active=row["is_active"],
            hold=row["auto_promotion_hold"],
            reason=latest.rollback_reason if latest else None,
            audit=tuple((entry["actor"], entry["action"]) for entry in audit),
            outbox=tuple(entry["event"] for entry in outbox),
            told=self._told(),
            runs=self._runs(),
        )

    def _promotions(self) -> list[Promotion]:
        return get_promotion_history(EXPERIMENT, store=self.store)

    def _state(self) -> str | None:
        return next((promotion.state.value for promotion in self._promotions()), None)

    def _is_busy(self) -> bool:
        return self.instance.get_runs_count(dg.RunsFilter(statuses=BUSY)) > 0

    def _told(self) -> tuple[str, ...]:
        records = self.instance.fetch_materializations(dg.AssetKey(names.PROMOTIONS), limit=100).records
        found = [record.asset_materialization for record in reversed(records)]
        return tuple(str(event.metadata["action"].value) for event in found if event is not None)

    def _runs(self) -> tuple[str, ...]:
        runs = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), ascending=True)
        starters = [(run, run.tags.get(SENSOR_NAME_TAG)) for run in runs]
        return tuple(f"{run.job_name} by {starter}" if starter else run.job_name for run, starter in starters)


def tell(store: Store, instance: dg.DagsterInstance) -> Iterator[Chapter]:
    """The story on this store and instance, a chapter each time that something happened."""
    narrator = Narrator(store, instance, seed_experiment(store, EXPERIMENT, WINNER, promotion_config=CONFIG))
    narrator.decide()
    yield narrator.chapter("the hourly job has decided: treatment wins")
    environment = os.environ | own_environment(store)
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(WORKSPACE)]
    with process_group(command, environment, store.settings.home, store.settings.home / "daemon.log") as daemon:
        narrator.daemon, narrator.begun = daemon, time.monotonic()
        narrator.wait_for("ramping")
        yield narrator.chapter("the sensor's run has promoted it to the first step")
        narrator.serve(HEALTHY, CONTROL)
        narrator.wait_for("promoted")
        yield narrator.chapter("the hold was clean: the sensor's next run has taken the last step")
        narrator.serve(FAILING)
        launch_hourly_job(environment, narrator.hour)
        narrator.wait_for("rolled_back")
        yield narrator.chapter("the winner began to fail: the hourly job has rolled it back")


def launch_hourly_job(environment: dict[str, str], hour: datetime, workspace: Path = WORKSPACE) -> None:
    """Put a run into the daemon's queue, as a person does from a shell."""
    tags = {**range_tags(hour - HOUR, hour), **names.EVALUATION_LANE}
    command = [
        "-m",
        "dagster",
        "job",
        "launch",
        "-w",
        str(workspace),
        "-j",
        names.HOURLY_JOB,
        "--tags",
        json.dumps(tags),
    ]
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def own_environment(store: Store) -> dict[str, str]:
    """What leads the daemon, and everything that it starts, to this store and instance."""
    return instance_environment(store) | {
        "AUTO_PROMOTION_DATABASE_URL": store.url,
        "AUTO_PROMOTION_HOME": str(store.settings.home),
    }


@contextlib.contextmanager
def own_store() -> Iterator[Store]:
    """A database of its own in a temporary folder, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        for name in ("story", "story_dagster"):
            create_database(server.url("postgres"), name)
        url = server.url("story")
        migrate.upgrade(url)
        settings: dict[str, Any] = {"home": Path(folder), "database_url": SecretStr(url)}
        dagster_url = SecretStr(server.url("story_dagster"))
        yield replace(Store(url, Settings(**settings)), settings=Settings(**settings, dagster_database_url=dagster_url))


def main() -> int:
    """Tell the story."""
    with own_store() as store, open_instance(store) as instance:
        for chapter in tell(store, instance):
            sys.stdout.write(f"{chapter}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
