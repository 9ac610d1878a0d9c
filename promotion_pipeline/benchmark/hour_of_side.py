"""What one checkout does in an hour, as `hour` asks it: prepare a database, and say which runs its ticks ask for.

Run in a process whose PYTHONPATH names the checkout, older ones too: it imports only what all of them have.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from promotion_pipeline.benchmark.seed import seed_hours
from promotion_pipeline.config import Settings
from promotion_pipeline.definitions import defs
from promotion_pipeline.orchestration.instance import instance_environment, open_instance
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store

BETWEEN_THE_HOURS = (
    "promotion_sensor",
    "promotion_acts_sensor",
    "watch_sensor",
    "notification_sensor",
    "served_traffic_schedule",
    "realised_lift_schedule",
)


def prepare(store: Store, experiments: int, requests: int, hours: int) -> dict[str, Any]:
    """Migrate and seed; the end of the newest complete hour and the environment of the runs."""
    migrate.upgrade(store.url)
    with connect(store.url) as connection:
        end = seed_hours(connection, experiments, requests, hours)
    with open_instance(store):
        # Makes Dagster's tables.
        return {"end": end.isoformat(), "environment": instance_environment(store)}


def asked(store: Store, names: Sequence[str], at: datetime) -> list[dict[str, Any]]:
    """The runs that schedules or sensors of these names ask for at a time."""
    found: list[dict[str, Any]] = []
    with open_instance(store) as instance:
        for name in names:
            automation, requests = _tick(store, instance, name, at)
            for one in requests:
                job = one.job_name or automation.job_name
                found.append({"job": job, "tags": dict(one.tags), "config": dict(one.run_config)})
    return found


def _tick(store: Store, instance: dg.DagsterInstance, name: str, at: datetime) -> tuple[Any, Sequence[dg.RunRequest]]:
    resources = {"store": StoreResource(store)}
    if name.endswith("_schedule"):
        schedule = defs.resolve_schedule_def(name)
        with dg.build_schedule_context(instance, scheduled_execution_time=at, resources=resources) as ticking:
            return schedule, schedule.evaluate_tick(ticking).run_requests or []
    sensor = defs.resolve_sensor_def(name)
    with dg.build_sensor_context(instance, definitions=defs, resources=resources) as looking:
        return sensor, sensor.evaluate_tick(looking).run_requests or []


def main(arguments: list[str]) -> None:
    """`prepare EXPERIMENTS REQUESTS HOURS`, `hour AT` (the hourly run of a time) or `between` (what else is due)."""
    store = Store(os.environ["AUTO_PROMOTION_DATABASE_URL"], Settings.from_environment())
    answer: object
    match arguments:
        case ["prepare", experiments, requests, hours]:
            answer = prepare(store, int(experiments), int(requests), int(hours))
        case ["hour", at]:
            answer = asked(store, ["hourly_promotion_schedule"], datetime.fromisoformat(at))
        case ["between"]:
            answer = asked(store, BETWEEN_THE_HOURS, datetime.now(UTC))
        case _:
            raise SystemExit(main.__doc__)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
