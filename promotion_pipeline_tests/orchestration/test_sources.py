"""The sources in the graph: what a run saw of them, and what the node of a mapped log is called."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from promotion_pipeline.orchestration import assets
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.assets.log_node import LogNode
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment

TABLES = ["hourly_variant_rollups", "variant_metrics", "significance_results", "eligibility_decisions"]
COLUMNS = {"created_at": "ts", "experiment_name": "experiment", "variant_name": "arm", "is_error": "never"}
FILES = {"engine": "duckdb", "files": "s3://logs/exposures/*/*.parquet", "columns": COLUMNS}


def node(**values: object) -> LogNode:
    return LogNode(parse_source(values))


def observed(result: dg.ExecuteInProcessResult, key: str) -> dict[str, Any]:
    (event,) = (event for event in result.get_asset_observation_events() if event.asset_key == dg.AssetKey(key))
    metadata = event.asset_observation_data.asset_observation.metadata
    return {name: value.value for name, value in metadata.items()}


def test_an_hourly_run_notes_its_sources_and_tells_lineage_once_a_release(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    with stage.store.connect() as connection:
        connection.execute("ANALYZE ai_requests")
    first = stage.graph.run_hours(stage.hours_ago(2), stage.hours_ago(1))
    second = stage.graph.run_hours(stage.hours_ago(1), stage.newest)

    log, experiments = (observed(second, key) for key in ("ai_requests", "ab_experiments"))
    (newest,) = stage.store.rows("SELECT max(created_at) AS at FROM ai_requests", {})
    assert log["dagster/last_updated_timestamp"] == pytest.approx(newest["at"].timestamp(), abs=0.001)
    assert log["rows_estimate"] == pytest.approx(count(stage.store, "SELECT count(*) FROM ai_requests"), rel=0.5)
    in_hour = "SELECT count(*) FROM ai_requests WHERE created_at >= %s AND created_at < %s"
    assert log["requests_of_the_hour"] == count(stage.store, in_hour, stage.hours_ago(1), stage.newest)
    assert (experiments["dagster/row_count"], experiments["running"]) == (1, 1)

    for table in TABLES:
        told = [
            event.materialization
            for result in (first, second)
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(table)
        ]
        assert ["dagster/column_lineage" in event.metadata for event in told] == [True, False]
        assert told[1].tags is not None and told[1].tags["dagster/code_version"] == code_version(table)
        rows = count(stage.store, f"SELECT count(*) FROM {table} WHERE hour = %s", stage.hours_ago(1))
        assert told[1].metadata["dagster/partition_row_count"].value == rows > 0


def test_a_mapped_log_is_called_as_the_team_calls_it() -> None:
    assert LogNode().key == dg.AssetKey("ai_requests")
    assert node(engine="postgresql", table="analytics.fct_exposures").key == dg.AssetKey(["analytics", "fct_exposures"])
    assert node(**FILES).key == dg.AssetKey(["logs", "exposures"])
    assert node(engine="duckdb", files="/data/log/exposures.parquet").key == dg.AssetKey(["log", "exposures"])
    assert node(engine="duckdb", files="s3://user:pw@logs/x/*.parquet").key == dg.AssetKey(["logs", "x"])
    assert not {"pw"} & set(str(node(engine="duckdb", files="s3://user:pw@logs/x/*.parquet").spec.metadata).split(":"))
    # A name that one of our own tables has would be two assets in one.
    assert node(engine="postgresql", table="public.variant_metrics").key == dg.AssetKey("ai_requests")
    assert node(engine="postgresql", table=["my 'db'", 'Größe/"x"']).key == dg.AssetKey(["my _db_", "Größe__x_"])


def test_what_reads_a_mapped_log_hangs_on_its_node_with_its_columns() -> None:
    log = node(**FILES)
    (rollups,) = log.read_by(assets.hourly_variant_rollups, dg.AssetKey("ai_requests")).specs
    assert dg.AssetKey(["logs", "exposures"]) in {dep.asset_key for dep in rollups.deps}
    assert rollups.kinds == {"duckdb", "postgres", "table"}
    lineage = rollups.metadata["dagster/column_lineage"].deps_by_column
    assert lineage["hour"] == [dg.TableColumnDep(dg.AssetKey(["logs", "exposures"]), "ts")]
    # The log has no latency and no errors to see.
    assert not {"latency_ms_sum", "errors"} & lineage.keys()
    schema = log.spec.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == ["experiment", "arm", "ts", "converted"]
    assert log.spec.kinds == {"duckdb", "parquet"}


def test_a_mapping_that_is_wrong_leaves_a_graph_that_loads(stage: Stage) -> None:
    wrong = stage.with_settings(source=stage.store.settings.home / "missing.toml")
    graph = build_definitions(resource_overrides={"store": StoreResource(wrong.store)}).resolve_asset_graph()
    assert dg.AssetKey("ai_requests") in graph.external_asset_keys
