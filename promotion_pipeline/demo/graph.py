"""The real graph on a real Dagster instance: a run over hours, a tick of the sensor, the runs that it asks for."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any

import dagster as dg

from promotion_pipeline import names
from promotion_pipeline.definitions import build_definitions
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.partitions import range_tags
from promotion_pipeline.resources import StoreResource
from promotion_pipeline.store.database import Store

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal; the events are in the instance."""


class Graph:
    """The definitions of the product, run in this process and recorded in `instance`."""

    def __init__(self, store: Store, instance: dg.DagsterInstance) -> None:
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        self._instance = instance
        self._definitions = build_definitions(resource_overrides={"store": StoreResource(store)})

    def materialize_hours(self, start: datetime, end: datetime, experiments: Collection[str] = ()) -> str:
        """One run of the hourly job over [start, end); returns its id.

        Args:
            experiments: judge only these; none means all.

        Raises:
            PromotionError: the run failed.
        """
        config = {"ops": {names.EVALUATION_OP: {"config": {"experiments": list(experiments)}}}}
        return self._run(names.HOURLY_JOB, config, {**range_tags(start, end), **names.EVALUATION_LANE})

    def tick_sensor(self) -> list[dg.RunRequest]:
        """What the promotion sensor asks for now."""
        context = dg.build_sensor_context(instance=self._instance, definitions=self._definitions)
        sensor = self._definitions.resolve_sensor_def(names.SENSOR)
        return list(sensor.evaluate_tick(context).run_requests or [])

    def launch(self, request: dg.RunRequest) -> str:
        """Run what the sensor asked for; returns the run's id.

        Raises:
            PromotionError: the run failed.
        """
        tags = {**request.tags, "dagster/sensor_name": names.SENSOR, "dagster/run_key": request.run_key or ""}
        return self._run(request.job_name or names.APPLY_JOB, request.run_config, tags)

    def _run(self, job: str, config: Any, tags: dict[str, str]) -> str:
        done = self._definitions.resolve_job_def(job).execute_in_process(
            run_config={**QUIET, **config}, tags=tags, instance=self._instance, raise_on_error=False
        )
        if not done.success:
            failed = "; ".join(
                str(event.step_failure_data.user_failure_data or event.step_failure_data.error)
                for event in done.get_step_failure_events()
            )
            raise PromotionError(f"run {done.run_id} of {job} failed: {failed}")
        return done.run_id
