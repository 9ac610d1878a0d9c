"""Everything that Dagster shows and runs, assembled in one place for production and tests alike.

Implementations belong in the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import (
    act_jobs,
    assets,
    comparing,
    delivery,
    jobs,
    ledger,
    names,
    placed,
    schedules,
    sensors,
    watching,
)
from promotion_pipeline.orchestration.automation import automation_sensors, conditions
from promotion_pipeline.orchestration.place import STORE, Automation, Placement, known_automation, settings_of
from promotion_pipeline.orchestration.resources import StoreResource, executor_of


def build_definitions(
    *,
    resource_overrides: Mapping[str, Any] | None = None,
    key_prefix: str | Sequence[str] = (),
    upstream: str | Sequence[str] | dg.AssetKey | None = None,
    automation: str = Automation.SCHEDULE,
    minute: int | None = None,
    owners: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
) -> dg.Definitions:
    """One pipeline, to be merged with what else a code location holds.

    The executor is on its jobs alone: what else is in the location keeps its own.

    Args:
        resource_overrides: resources that replace the default ones, by name without the prefix:
            {"store": StoreResource(store)}.
        key_prefix: of its assets, such as ["experiments"]; jobs, sensors, schedules, pools, resources, ops and tags get
            it too. Two pipelines of one deployment have two.
        upstream: key of the asset that fills the log, such as "analytics/fct_exposures"; none: our external
            `ai_requests`.
        automation: "schedule", or "upstream": an hour is started when the upstream asset's hour has landed.
        minute: past the hour, of the schedule; none: what the settings say.
        owners: of the assets.
        settings: AUTO_PROMOTION_* in lower case, such as {"database_url": ...}; none: the process's environment.

    Raises:
        ConfigError: a setting is unknown or out of bounds, the prefix or the automation cannot be, or the executor is
            unknown or not installed.
    """
    place = Placement(
        key_prefix=(key_prefix,) if isinstance(key_prefix, str) and key_prefix else tuple(key_prefix),
        upstream=None if upstream is None else dg.AssetKey.from_coercible(_split(upstream)),
        automation=known_automation(automation),
        minute=minute,
        owners=tuple(owners),
        given=settings_of(settings),
    )
    return definitions_at(place, resource_overrides or {})


def definitions_at(place: Placement, overrides: Mapping[str, Any]) -> dg.Definitions:
    """The pipeline of a place."""
    executor = executor_of(place)
    given = {name: _resource_at(one, place) for name, one in ({STORE: StoreResource()} | dict(overrides)).items()}
    starts = conditions(given[STORE])
    # They have no partitions; with this a command that takes a range of hours of everything takes them too.
    over_hours = dg.BackfillPolicy.single_run()
    log, called = _log_of(given[STORE], place), place.key(names.REQUESTS)
    tables = {one: log.read_by(placed.at(one, place), called) for one in (*PARTITIONED, *UNPARTITIONED)}
    return dg.Definitions(
        assets=[
            *(placed.spec_at(spec, place) for spec in _external(log)),
            *(_automated(tables[one], starts) for one in PARTITIONED),
            *(tables[one].with_attributes(backfill_policy=over_hours) for one in UNPARTITIONED),
        ],
        jobs=[placed.job_at(job, place, executor) for job in JOBS],
        schedules=[placed.at(one, place) for one in _schedules(place)],
        sensors=[*(placed.at(one, place) for one in SENSORS), *automation_sensors(place)],
        resources={place.named(name): one for name, one in given.items()},
    )


PARTITIONED = (assets.hourly_variant_rollups, assets.evaluation)
UNPARTITIONED = (assets.promotion_watch, assets.served_traffic, assets.realised_lift)
JOBS = (
    jobs.hourly_promotion_job,
    jobs.apply_promotion_job,
    jobs.evaluate_job,
    *act_jobs.ACT_JOBS,
    watching.promotion_watch_job,
    comparing.served_traffic_job,
    ledger.realised_lift_job,
    delivery.deliver_notifications_job,
)
SENSORS = (
    sensors.promotion_sensor,
    sensors.promotion_acts_sensor,
    watching.watch_sensor,
    delivery.notification_sensor,
    delivery.run_failure_alarm,
    delivery.run_recovery_notice,
)


def _log_of(store: Any, place: Placement) -> assets.LogNode:
    """The log in the graph; nothing is opened to read what is said of it."""
    given = store.given if isinstance(store, StoreResource) else None
    node = assets.log_node(place.settings if given is None else given.settings)
    return replace(node, upstream=place.upstream)


def _external(log: assets.LogNode) -> list[dg.AssetSpec]:
    """What others fill; the upstream is defined where it is made."""
    ours = [assets.ab_experiments, assets.experiment_promotions]
    return ours if log.upstream is not None else [log.spec, *ours]


def _schedules(place: Placement) -> list[dg.ScheduleDefinition]:
    between = [comparing.served_traffic_schedule, ledger.realised_lift_schedule]
    by_clock = [schedules.hourly_promotion_schedule] if place.automation is Automation.SCHEDULE else []
    return [*by_clock, *between]


def _automated(
    tables: dg.AssetsDefinition, starts: Mapping[dg.AssetKey, dg.AutomationCondition[Any]]
) -> dg.AssetsDefinition:
    if not starts:
        return tables
    return tables.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=starts.get(spec.key)))


def _resource_at(resource: Any, place: Placement) -> Any:
    return replace(resource, place=place) if isinstance(resource, StoreResource) else resource


def _split(upstream: str | Sequence[str] | dg.AssetKey) -> Any:
    return upstream.split("/") if isinstance(upstream, str) else upstream
