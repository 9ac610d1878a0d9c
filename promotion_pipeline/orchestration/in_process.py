"""Runs of the real graph in this process, for commands and tests: no daemon, the same definitions, a real instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from promotion_pipeline.errors import PromotionError
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.dagster_private import RUN_KEY_TAG, SCHEDULE_NAME_TAG
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.store.database import Store

AS_SCHEDULED = {SCHEDULE_NAME_TAG: names.SCHEDULE}
"""Tags of a run that stands for one of the hourly schedule."""


class RunFailedError(PromotionError):
    """A run did not succeed; Dagster's event log of the instance has the whole story."""

    code = "run-failed"


class InProcess:
    """The code location of one store, run in this process; one run at a time, Dagster's logging is not for threads.

    Args:
        instance: where runs and events are kept, of `open_instance(store)`.
        store: the product's database.
        log_level: of what the runs print to stderr.
    """

    def __init__(self, instance: dg.DagsterInstance, store: Store, *, log_level: str = "ERROR") -> None:
        self._instance, self._store = instance, store
        self._loggers = {"loggers": {"console": {"config": {"log_level": log_level}}}}
        self._definitions = build_definitions(resource_overrides={"store": StoreResource(store)})

    def run_hours(self, start: datetime, end: datetime, *, by_hand: bool = False) -> dg.ExecuteInProcessResult:
        """One run of the hourly job over the hours in [start, end).

        Args:
            by_hand: as somebody starts it; else as the schedule does.

        Raises:
            InputError: the window is empty, naive, or before the first partition.
            RunFailedError: the run failed.
        """
        return self.run_job(names.HOURLY_JOB, tags=range_tags(start, end) | ({} if by_hand else AS_SCHEDULED))

    def tick_schedule(self, at: datetime) -> dg.ExecuteInProcessResult | None:
        """What the hourly schedule would do at `at`: its run, or None where there is nothing to do.

        Raises:
            RunFailedError: the run failed.
        """
        schedule = self._definitions.resolve_schedule_def(names.SCHEDULE)
        with dg.build_schedule_context(
            self._instance, scheduled_execution_time=at, resources=self._resources
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests
        return self._run(names.HOURLY_JOB, requests)

    def tick_sensor(self) -> dg.ExecuteInProcessResult | None:
        """What a tick of `promotion_sensor` leads to: the run of the apply job, or None where nothing waits.

        Raises:
            RunFailedError: the run failed.
        """
        sensor = self._definitions.resolve_sensor_def(names.SENSOR)
        with dg.build_sensor_context(
            self._instance, definitions=self._definitions, resources=self._resources
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests
        return self._run(names.APPLY_JOB, requests)

    def tick_watch(self) -> dg.ExecuteInProcessResult | None:
        """What a tick of `watch_sensor` leads to: a run of the watch, or None where there is nothing to do.

        Raises:
            RunFailedError: the run failed.
        """
        sensor = self._definitions.resolve_sensor_def(names.WATCH_SENSOR)
        with dg.build_sensor_context(
            self._instance, definitions=self._definitions, resources=self._resources
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests
        return self._run(names.WATCH_JOB, requests)

    def run_job(
        self, name: str, *, config: dict[str, object] | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """One run of a job.

        Args:
            config: run config, such as {"ops": {"promote": {"config": {...}}}}.

        Raises:
            RunFailedError: the run failed.
        """
        return self._execute(self._definitions.resolve_job_def(name), config, tags)

    def run_assets(
        self,
        assets: Sequence[str],
        *,
        config: dict[str, object] | None = None,
        tags: dict[str, str] | None = None,
        checks_only: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """One run of chosen assets with their checks, as the UI's Materialize button makes it.

        Args:
            config: run config; for a what-if {"ops": {"evaluation": {"config": {...}}}}.
            tags: `range_tags(start, end)` for partitioned assets.
            checks_only: ask the checks, fill nothing.

        Raises:
            RunFailedError: the run failed.
        """
        chosen = dg.AssetSelection.assets(*assets)
        selection = dg.AssetSelection.checks_for_assets(*assets) if checks_only else chosen
        job = dg.define_asset_job("chosen_assets", selection=selection)
        extended = dg.Definitions.merge(self._definitions, dg.Definitions(jobs=[job]))
        return self._execute(extended.resolve_job_def(job.name), config, tags)

    def _execute(
        self, job: dg.JobDefinition, config: dict[str, object] | None, tags: dict[str, str] | None
    ) -> dg.ExecuteInProcessResult:
        result = job.execute_in_process(
            run_config={**(config or {}), **self._loggers},
            instance=self._instance,
            tags=tags,
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailedError(f"the run {result.run_id} of {job.name} failed: {_why(result)}")
        return result

    @property
    def _resources(self) -> dict[str, object]:
        return {"store": StoreResource(self._store)}

    def _run(self, job: str, requests: Sequence[dg.RunRequest] | None) -> dg.ExecuteInProcessResult | None:
        if not requests:
            return None
        request = requests[0]
        tags = dict(request.tags) | ({RUN_KEY_TAG: request.run_key} if request.run_key else {})
        return self.run_job(job, config=dict(request.run_config), tags=tags)


def _why(result: dg.ExecuteInProcessResult) -> str:
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:
                texts.append(data.user_failure_data.description or data.user_failure_data.label)
            elif data.error is not None:
                texts.append(data.error.message)
    return "; ".join(" ".join(text.split()) for text in texts) or "no step failed"
