"""Everything that Dagster shows and runs, assembled in one place for production and tests alike.

Implementations belong in the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

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
    return dg.Definitions(
        assets=[
            assets.ai_requests,
            assets.ab_experiments,
            assets.hourly_variant_rollups,
            assets.evaluation,
            assets.experiment_promotions,
            # They have no partitions; with this a command that takes a range of hours of everything takes them too.
            assets.promotion_watch.with_attributes(backfill_policy=dg.BackfillPolicy.single_run()),
            assets.served_traffic.with_attributes(backfill_policy=dg.BackfillPolicy.single_run()),
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
        resources={"store": StoreResource()} | dict(resource_overrides or {}),
        executor=executor_from_environment(),
    )
