"""An hour that is started when it has landed in the asset that fills the log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.upstream import UpstreamHours, require_hourly
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.databases import copied_database
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, count, seed_experiment

UPSTREAM = dg.AssetKey(["analytics", "fct_exposures"])
HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00")
TABLES = {
    "hourly_variant_rollups": "hour, variant_id",
    "variant_metrics": "hour, variant_id",
    "significance_results": "hour, variant_id",
    "eligibility_decisions": "hour, experiment_id",
}
NOT_COMPARED = {"made_by", "decided_at", "updated_at", "created_at", "rolled_up_at", "computed_at", "evaluated_at"}


@dataclass
class Team:
    """A location of a team: the asset that fills the log, and the pipeline behind it."""

    stage: Stage
    definitions: dg.Definitions
    cursor: str | None = None

    def lands(self, hour: datetime | None = None) -> None:
        """An hour of the upstream asset; none: the asset, which has no hours."""
        event = dg.AssetMaterialization(UPSTREAM, partition=None if hour is None else hour_key(hour))
        self.stage.instance.report_runless_asset_event(event)

    def tick(self) -> list[dg.RunRequest]:
        """What the automation asks for now."""
        sensor = self.definitions.resolve_sensor_def("experiments_upstream_automation")
        repository = self.definitions.get_repository_def()
        with dg.build_sensor_context(self.stage.instance, repository_def=repository, cursor=self.cursor) as context:
            asked = sensor.evaluate_tick(context)
        self.cursor = asked.cursor
        return list(asked.run_requests or [])

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that the daemon makes of a request."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        chosen = job.get_subset(asset_selection=frozenset(request.asset_selection or ()))
        tags = dict(request.tags) | {"dagster/from_automation_condition": "true"}
        return chosen.execute_in_process(
            instance=self.stage.instance, partition_key=request.partition_key, tags=tags, raise_on_error=True
        )


def team(stage: Stage, partitions: dg.PartitionsDefinition[Any] | None) -> Team:
    ours = build_definitions(
        key_prefix=["experiments"],
        upstream=UPSTREAM,
        automation="upstream",
        settings={"database_url": "postgresql://nobody@127.0.0.1:1/unused"},
        resource_overrides={"store": StoreResource(stage.store)},
    )
    theirs = dg.Definitions(assets=[dg.AssetSpec(UPSTREAM, partitions_def=partitions)])
    return Team(stage, dg.Definitions.merge(ours, theirs))


def rows(stage: Stage, table: str) -> list[dict[str, Any]]:
    with stage.store.connect() as connection:
        found = connection.execute(f"SELECT * FROM {table} ORDER BY {TABLES[table]}").fetchall()
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in found]


def test_an_hour_starts_when_it_has_landed_and_leaves_what_the_schedule_leaves(
    stage: Stage, server: EmbeddedServer
) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    seed_experiment(stage.store, "banner", NO_DIFFERENCE)
    own = stage.store.url.rpartition("/")[2].partition("?")[0]
    with connect(server.url("postgres")) as connection:
        # A database that somebody is connected to cannot be copied.
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (own,))
    with copied_database(server, own) as url:
        scheduled = replace(stage, store=replace(stage.store, url=url)).with_settings(lookback_hours=1)
        assert scheduled.graph.tick_schedule(stage.newest + timedelta(minutes=5)) is not None

        waiting = team(stage.with_settings(lookback_hours=1), HOURLY)
        assert waiting.tick() == []
        waiting.lands(stage.hours_ago(1))
        (request,) = waiting.tick()
        assert request.partition_key == hour_key(stage.hours_ago(1))
        assert request.tags["promotion_pipeline/lane"] == "experiments_evaluation"
        assert waiting.tick() == []
        assert waiting.run(request).success
        assert waiting.tick() == []

        for table in TABLES:
            assert rows(stage, table) == rows(scheduled, table)
        assert len(rows(stage, "hourly_variant_rollups")) > 100
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'automation'") == 2


def test_hours_that_landed_during_an_outage_are_one_backfill(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    waiting = team(stage.with_settings(lookback_hours=3), HOURLY)
    for hours in (3, 1, 2):
        waiting.lands(stage.hours_ago(hours))
    (request,) = waiting.tick()
    assert request.requires_backfill_daemon()
    subset = request.asset_graph_subset
    assert subset is not None
    asked = {(one.asset_key.path[-1], one.partition_key) for one in subset.iterate_asset_partitions()}
    assert asked == {(table, hour_key(stage.hours_ago(hours))) for table in TABLES for hours in (3, 2, 1)}


def test_an_asset_without_partitions_has_landed_every_hour_that_is_over(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    waiting = team(stage.with_settings(lookback_hours=1), None)
    assert waiting.tick() == []
    waiting.lands()
    (request,) = waiting.tick()
    assert request.partition_key == hour_key(stage.hours_ago(1))


def test_an_asset_of_days_is_refused_with_what_to_do_instead(stage: Stage) -> None:
    waiting = team(stage, dg.DailyPartitionsDefinition("2026-01-01"))
    with pytest.raises(Exception, match="Error while evaluating") as refused:
        waiting.tick()
    assert isinstance(refused.value.__cause__, ConfigError)
    assert "fct_exposures is partitioned by something else than full hours" in str(refused.value.__cause__)
    require_hourly(UPSTREAM, HOURLY)
    event = dg.AssetMaterialization(UPSTREAM, partition=f"{stage.newest:%Y-%m-%d}")
    stage.instance.report_runless_asset_event(event)
    elsewhere = UpstreamHours(stage.instance, UPSTREAM, None, stage.hours_ago(1))
    with pytest.raises(ConfigError, match="which is no hour"):
        elsewhere.landed_until(stage.newest, stage.newest, 2.0)


@pytest.mark.parametrize("form", ["%Y-%m-%d-%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S+00:00"])
def test_hours_of_an_asset_in_another_location_are_read_from_its_keys(stage: Stage, form: str) -> None:
    for hours in (3, 1):
        key = stage.hours_ago(hours).strftime(form)
        stage.instance.report_runless_asset_event(dg.AssetMaterialization(UPSTREAM, partition=key))
    told = UpstreamHours(stage.instance, UPSTREAM, None, stage.hours_ago(3))
    # The hour between has not landed: it is waited for, as long as an hour is waited for.
    assert told.landed_until(stage.newest, stage.newest, 2.0) == stage.hours_ago(2)
    assert told.landed_until(stage.newest, stage.newest, 0.5) == stage.newest


def test_an_hour_that_was_not_over_when_its_partition_was_filled_has_not_landed(stage: Stage) -> None:
    stage.instance.report_runless_asset_event(dg.AssetMaterialization(UPSTREAM, partition=hour_key(stage.newest)))
    running = UpstreamHours(stage.instance, UPSTREAM, HOURLY, stage.newest)
    over = stage.newest + timedelta(hours=1)
    assert running.landed_until(over, over, 2.0) == stage.newest
