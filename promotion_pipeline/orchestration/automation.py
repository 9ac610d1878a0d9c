"""What starts an hour when the data has landed: a condition on the hours of the asset that fills the log.

It takes the hours that the schedule would take (`schedules.due_hours`); only what says that an hour has landed differs.
Its sensor evaluates it in the code server, because Dagster's daemon knows none but its own conditions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.jobs import HOURLY_TAGS
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.orchestration.place import Automation, Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.schedules import due_hours
from promotion_pipeline.orchestration.upstream import UpstreamHours, require_hourly
from promotion_pipeline.store.windows import HOUR

INTERVAL_SECONDS = 30
TABLES = (names.ROLLUPS, names.METRICS, names.SIGNIFICANCE, names.DECISIONS)


@dataclass(frozen=True, eq=False)
class HourHasLanded(dg.AutomationCondition[dg.AssetKey]):
    """True for the hours that are not decided yet and whose requests have landed, by the upstream asset's events."""

    store: StoreResource
    _seen: dict[tuple[int, datetime], tuple[datetime, datetime] | None] = field(default_factory=dict, repr=False)

    @property
    def description(self) -> str:
        """What the automation page shows."""
        upstream = self.store.place.upstream
        return f"not decided, and landed in {'' if upstream is None else upstream.to_user_string()}"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """The hours that are due at the context's time.

        Raises:
            ConfigError: the upstream asset has no hours: it is partitioned by something else.
            DependencyError: the database cannot be reached.
        """
        view = context.asset_graph_view
        moment = (context.evaluation_id, view.effective_dt)
        if moment not in self._seen:
            self._seen.clear()
            self._seen[moment] = self._due(context)
        due = self._seen[moment]
        if due is None:
            return dg.AutomationResult(context, context.get_empty_subset())
        first, end = due
        hours = dg.PartitionKeyRange(hour_key(first), hour_key(end - HOUR))
        landed = view.get_entity_subset_in_range(context.key, hours)
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection(landed))

    def _due(self, context: dg.AutomationContext[dg.AssetKey]) -> tuple[datetime, datetime] | None:
        place, view = self.store.place, context.asset_graph_view
        assert place.upstream is not None
        known = view.asset_graph.get(place.upstream).partitions_def if view.asset_graph.has(place.upstream) else None
        require_hourly(place.upstream, known)
        store = self.store.get()
        due = due_hours(store, view.effective_dt, place)
        if isinstance(due, dg.SkipReason):
            return None
        first, end = due
        hours = UpstreamHours(view.instance, place.upstream, known, first)
        landed = hours.landed_until(end, view.effective_dt, store.settings.thresholds.max_staleness_hours)
        return (first, landed) if landed > first else None


def condition(store: StoreResource) -> dg.AutomationCondition[Any]:
    """When the sums of an hour are started: once it has landed, and again every hour for as long as it is undecided."""
    landed: dg.AutomationCondition[Any] = HourHasLanded(store)
    retried = dg.AutomationCondition.cron_tick_passed(f"{store.place.schedule_minute} * * * *")
    first_look = dg.AutomationCondition.initial_evaluation()
    started: dg.AutomationCondition[Any] = landed.newly_true() | (landed & (retried | first_look))
    # Not `since_last_handled`: that forgets what had landed already when the sensor looks for the first time.
    handled: dg.AutomationCondition[Any] = (
        dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    )
    return landed & started.since(handled) & ~dg.AutomationCondition.in_progress()


def conditions(store: StoreResource) -> Mapping[dg.AssetKey, dg.AutomationCondition[Any]]:
    """Of each table that is filled when the data has landed: when. Nothing where a schedule starts the hours."""
    place = store.place
    if place.automation is not Automation.UPSTREAM:
        return {}
    with_it: dg.AutomationCondition[Any] = dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.will_be_requested()
    )
    return {place.key(table): condition(store) if table == names.ROLLUPS else with_it for table in TABLES}


def automation_sensors(place: Placement) -> list[dg.SensorDefinition]:
    """What evaluates the conditions. Nothing where a schedule starts the hours."""
    if place.automation is not Automation.UPSTREAM or place.upstream is None:
        return []
    with warnings.catch_warnings():
        # Conditions of one's own need the code server, which Dagster calls beta: nothing that a team could mend.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return [_sensor(place, place.upstream)]


def _sensor(place: Placement, upstream: dg.AssetKey) -> dg.SensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        place.named(names.UPSTREAM_SENSOR),
        target=dg.AssetSelection.assets(*(place.key(table) for table in TABLES)),
        use_user_code_server=True,
        # Several hours are one backfill, which is one run; else each hour would be a run of its own.
        emit_backfills=True,
        minimum_interval_seconds=INTERVAL_SECONDS,
        run_tags=place.tags(HOURLY_TAGS),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"One run over all experiments as soon as the hour has landed in"
        f" `{upstream.to_user_string()}`: from the first hour that is not decided yet to the newest one that"
        " has landed. What failed is started again every hour.",
    )
