"""Everything that Dagster shows and runs, assembled in one place for production and tests alike.

Implementations belong in the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration import (
    act_jobs,
    assets,
    comparing,
    delivery,
    jobs,
    ledger,
    schedules,
    sensors,
    watching,
)
from promotion_pipeline.orchestration.resources import StoreResource, executor_from_environment


def build_definitions(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The whole code location.

    Args:
        resource_overrides: resources that replace the default ones, by name: {"store": StoreResource(store)}.

    Raises:
        ConfigError: AUTO_PROMOTION_EXECUTOR names an executor that is unknown or not installed.
    """
    resources = {"store": StoreResource()} | dict(resource_overrides or {})
    log = assets.log_node(_settings_of(resources["store"]))
    return dg.Definitions(
        assets=[
            log.spec,
            assets.ab_experiments,
            log.read_by(assets.hourly_variant_rollups),
            assets.evaluation,
            assets.experiment_promotions,
            # They have no partitions; with this a command that takes a range of hours of everything takes them too.
            assets.promotion_watch.with_attributes(backfill_policy=dg.BackfillPolicy.single_run()),
            log.read_by(assets.served_traffic).with_attributes(backfill_policy=dg.BackfillPolicy.single_run()),
            assets.realised_lift.with_attributes(backfill_policy=dg.BackfillPolicy.single_run()),
        ],
        jobs=[
            jobs.hourly_promotion_job,
            jobs.apply_promotion_job,
            jobs.evaluate_job,
            *act_jobs.ACT_JOBS,
            watching.promotion_watch_job,
            comparing.served_traffic_job,
            ledger.realised_lift_job,
            delivery.deliver_notifications_job,
        ],
        schedules=[
            schedules.hourly_promotion_schedule,
            comparing.served_traffic_schedule,
            ledger.realised_lift_schedule,
        ],
        sensors=[
            sensors.promotion_sensor,
            sensors.promotion_acts_sensor,
            watching.watch_sensor,
            delivery.notification_sensor,
            delivery.run_failure_alarm,
            delivery.run_recovery_notice,
        ],
        resources=resources,
        executor=executor_from_environment(),
    )


def _settings_of(store: object) -> Settings | None:
    """Those of a store that was given; None: the environment's, and nothing is opened to read them."""
    given = store.given if isinstance(store, StoreResource) else None
    return None if given is None else given.settings
