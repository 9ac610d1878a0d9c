"""An installation in which everything is as it should be, for the tests to break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.doctor import Diagnosis, Finding, examine
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer

GOOD_SECRET = "canary-Zk3v9Qm2-Tx7wB1nL"


@dataclass
class Installation:
    """A store, the environment, a Dagster instance and the clock of the machine."""

    store: Store
    instance: dg.DagsterInstance
    environment: dict[str, str]
    skew: timedelta = field(default=timedelta(0))
    """How far this machine's clock is ahead."""

    def examined(self) -> Diagnosis:
        return examine(self.environment, clock=lambda: datetime.now(UTC) + self.skew)

    def finding(self, name: str) -> Finding:
        return next(finding for finding in self.examined().findings if finding.name == name)

    def execute(self, statement: str, *parameters: object) -> None:
        with self.store.connect() as connection:
            connection.execute(statement, parameters)

    def beat(self, seconds_ago: float = 0.0) -> None:
        for daemon in ("SCHEDULER", "SENSOR"):
            self.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, daemon, "daemon-1"))

    def switch(self, name: str, kind: InstigatorType, status: InstigatorStatus) -> None:
        """Let a schedule or sensor be as a person left it."""
        origin = RemoteInstigatorOrigin(
            repository_origin=RemoteRepositoryOrigin(
                code_location_origin=InProcessCodeLocationOrigin(
                    loadable_target_origin=LoadableTargetOrigin(module_name="promotion_pipeline.definitions"),
                    location_name="promotion_pipeline",
                ),
                repository_name="__repository__",
            ),
            instigator_name=name,
        )
        is_schedule = kind is InstigatorType.SCHEDULE
        data = ScheduleInstigatorData("5 * * * *") if is_schedule else SensorInstigatorData()
        state = InstigatorState(origin, kind, status, data)
        known = {one.instigator_name: one for one in self.instance.all_instigator_state()}
        if name in known:
            self.instance.update_instigator_state(known[name].with_status(status))
        else:
            self.instance.add_instigator_state(state)


@dataclass(frozen=True)
class Dagster:
    """An instance that every test of the session uses, and where it is."""

    instance: dg.DagsterInstance
    home: Path
    url: str


@pytest.fixture(scope="session")
def dagster(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    """A Dagster instance with its home and tables."""
    create_database(server.url("postgres"), "doctor_dagster")
    url = server.url("doctor_dagster")
    home = tmp_path_factory.mktemp("doctor")
    with open_instance(Store(url, Settings(home=home, dagster_database_url=SecretStr(url)))) as instance:
        yield Dagster(instance, home, url)


@pytest.fixture
def installation(store: Store, dagster: Dagster) -> Installation:
    """All is well with it."""
    environment = {
        "AUTO_PROMOTION_HOME": str(dagster.home),
        "AUTO_PROMOTION_DATABASE_URL": store.url,
        "AUTO_PROMOTION_DAGSTER_DATABASE_URL": dagster.url,
        "AUTO_PROMOTION_CRON_SECRET": GOOD_SECRET,
    }
    made = Installation(store, dagster.instance, environment)
    made.beat()
    made.switch("hourly_promotion_schedule", InstigatorType.SCHEDULE, InstigatorStatus.RUNNING)
    made.switch("served_traffic_schedule", InstigatorType.SCHEDULE, InstigatorStatus.RUNNING)
    made.switch("promotion_sensor", InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    made.switch("watch_sensor", InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    made.switch("notification_sensor", InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    return made
