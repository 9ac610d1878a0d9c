"""The code location as a whole: what is in it, and what it promises the people who look at it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.definitions import defs
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration import instance as dagster_instance
from promotion_pipeline.orchestration import run_config
from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.orchestration.assets.lineage import LINEAGE
from promotion_pipeline.orchestration.partitions import hourly, range_tags
from promotion_pipeline.orchestration.place import JOB_NAMES
from promotion_pipeline.promotion.act.rollback import RollbackTarget
from promotion_pipeline.store.database import Connection

REPOSITORY = Path(__file__).parents[2]
TABLES = ["hourly_variant_rollups", "variant_metrics", "significance_results", "eligibility_decisions"]
LAUNCHPAD = [
    "evaluate_job",
    "promote_job",
    "approve_job",
    "rollback_job",
    "hold_job",
    "release_hold_job",
    "apply_promotion_job",
    "promotion_watch_job",
    "realised_lift_job",
    "advance_job",
    "acknowledge_job",
    "overwrite_split_job",
    "adopt_split_job",
    "retry_delivery_job",
    "served_traffic_job",
    "deliver_notifications_job",
]

ACTS: dict[str, tuple[str, dict[str, str]]] = {
    "promote_job": ("promote", {}),
    "approve_job": ("approve", {}),
    "rollback_job": ("roll_back", {"reason": "b"}),
    "hold_job": ("put_on_hold", {"reason": "b"}),
    "release_hold_job": ("lift_hold", {}),
    "advance_job": ("advance", {}),
    "acknowledge_job": ("acknowledge", {"reason": "b"}),
    "overwrite_split_job": ("put_split_back", {"reason": "b"}),
    "adopt_split_job": ("adopt_split", {}),
    "retry_delivery_job": ("retry_delivery", {}),
}
"""Jobs that act on one experiment: the op, and what else it needs."""


def spec(name: str) -> dg.AssetSpec:
    return next(one for one in defs.resolve_all_asset_specs() if one.key == dg.AssetKey(name))


def test_loading_the_definitions_needs_no_database(tmp_path: Path) -> None:
    code = "import promotion_pipeline.definitions as d, dagster; dagster.Definitions.validate_loadable(d.defs)"
    environment = os.environ | {
        "AUTO_PROMOTION_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "AUTO_PROMOTION_HOME": str(tmp_path / "home"),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path, timeout=120)
    assert not (tmp_path / "home").exists()


def test_the_code_location_holds_what_its_callers_rely_on() -> None:
    repository = defs.get_repository_def()
    assert {key.to_user_string() for key in repository.assets_defs_by_key} == {
        *TABLES,
        "ai_requests",
        "ab_experiments",
        "experiment_promotions",
        "promotion_watch",
        "served_traffic",
        "realised_lift",
    }
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {
        "hourly_promotion_job",
        *LAUNCHPAD,
    }
    assert [one.name for one in repository.schedule_defs] == [
        "hourly_promotion_schedule",
        "realised_lift_schedule",
        "served_traffic_schedule",
    ]
    assert {one.name for one in repository.sensor_defs} == {
        "promotion_sensor",
        "promotion_acts_sensor",
        "watch_sensor",
        "notification_sensor",
        "run_failure_alarm",
        "run_recovery_notice",
    }


def test_the_hourly_run_compares_the_traffic_after_it_has_decided() -> None:
    selected = defs.resolve_job_def("hourly_promotion_job").asset_layer.selected_asset_keys
    assert dg.AssetKey("served_traffic") in selected
    assert dg.AssetKey("eligibility_decisions") in {dep.asset_key for dep in spec("served_traffic").deps}


def test_schedule_and_sensors_are_on_without_a_click() -> None:
    repository = defs.get_repository_def()
    assert all(one.default_status is dg.DefaultScheduleStatus.RUNNING for one in repository.schedule_defs)
    assert all(one.default_status is dg.DefaultSensorStatus.RUNNING for one in repository.sensor_defs)


def test_all_tables_share_one_partition_an_hour_and_one_run_a_backfill() -> None:
    graph = defs.resolve_asset_graph()
    for name in TABLES:
        node = graph.get(dg.AssetKey(name))
        assert node.partitions_def == hourly()
        assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_lineage_goes_from_the_requests_to_the_promotions() -> None:
    chain = ["ai_requests", *TABLES, "experiment_promotions", "promotion_watch"]
    for upstream, downstream in itertools.pairwise(chain):
        assert dg.AssetKey(upstream) in {dep.asset_key for dep in spec(downstream).deps}


def test_every_asset_says_what_it_is_and_whose() -> None:
    for one in defs.resolve_all_asset_specs():
        assert one.description and len(one.description) > 80, one.key
        assert one.owners and one.kinds and one.group_name != "default", one.key


def test_column_schemas_are_those_of_the_database(connection: Connection) -> None:
    described_assets = [one for one in defs.resolve_all_asset_specs() if "dagster/column_schema" in one.metadata]
    assert {one.key.to_user_string() for one in described_assets} == SCHEMAS.keys()
    for one in described_assets:
        schema = one.metadata["dagster/column_schema"]
        described = {column.name: column.type for column in schema.columns}
        assert all(column.description for column in schema.columns)
        actual = {
            row["name"]: row["kind"]
            for row in connection.execute(
                "SELECT attname AS name, format_type(atttypid, atttypmod) AS kind FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                (one.key.to_user_string(),),
            )
        }
        assert described.items() <= actual.items(), one.key


def test_every_column_comes_from_columns_that_there_are() -> None:
    known = {name: {column.name for column in schema.columns} for name, schema in SCHEMAS.items()}
    for table, lineage in LINEAGE.items():
        assert lineage.deps_by_column.keys() <= known[table]
        for column, origins in lineage.deps_by_column.items():
            assert origins, (table, column)
            for one in origins:
                assert one.column_name in known[one.asset_key.to_user_string()], (table, column)


def test_an_empty_config_is_valid_for_every_job_that_is_about_no_single_experiment() -> None:
    for name in LAUNCHPAD:
        if name not in ACTS:
            assert dg.validate_run_config(defs.resolve_job_def(name), {})


@pytest.mark.parametrize("job", ACTS)
def test_an_act_without_the_name_of_its_experiment_is_refused_when_it_is_launched(job: str) -> None:
    op, needed = ACTS[job]
    for name in ("", "  "):
        with pytest.raises(dg.DagsterInvalidConfigError, match="experiment"):
            dg.validate_run_config(defs.resolve_job_def(job), {"ops": {op: {"config": {"experiment": name, **needed}}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match='Missing required config entry "ops"'):
        dg.validate_run_config(defs.resolve_job_def(job), {})
    assert dg.validate_run_config(defs.resolve_job_def(job), {"ops": {op: {"config": {"experiment": "a", **needed}}}})


def test_a_rollback_from_the_launchpad_names_its_target_as_every_other_door_does() -> None:
    for target in ("previous", "control"):
        config = {"experiment": "a", "reason": "b", "to": target}
        checked = dg.validate_run_config(
            defs.resolve_job_def("rollback_job"), {"ops": {"roll_back": {"config": config}}}
        )
        assert RollbackTarget(checked["ops"]["roll_back"]["config"]["to"]) == target


def test_every_job_has_a_longest_runtime_and_the_hourly_one_is_over_before_the_next() -> None:
    longest = {name: int(defs.resolve_job_def(name).tags["dagster/max_runtime"]) for name in JOB_NAMES}
    assert longest["hourly_promotion_job"] < 3600 < longest["evaluate_job"]
    assert all(longest[name] <= 1800 for name in [*ACTS, "apply_promotion_job", "deliver_notifications_job"])


def test_thresholds_of_the_launchpad_are_those_of_the_config() -> None:
    own = set(run_config.ThresholdConfig.model_fields)
    assert own <= set(PromotionConfig.model_fields)
    assert run_config.ThresholdConfig(min_confidence_level=99).thresholds().model_fields_set == {"min_confidence_level"}
    with pytest.raises(ConfigError, match=r"0\.05"):
        run_config.ThresholdConfig(max_error_rate=5).thresholds()


def test_the_files_at_the_top_are_those_that_the_commands_use() -> None:
    text = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")
    assert text == dagster_instance.default_config()
    assert yaml.safe_load(text)["telemetry"] == {"enabled": False}
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text(encoding="utf-8"))
    assert workspace["load_from"][0]["python_module"]["module_name"] == "promotion_pipeline.definitions"


def test_hours_before_the_first_partition_are_refused() -> None:
    first = hourly().time_window_for_partition_key(hourly().get_first_partition_key() or "").start
    with pytest.raises(Exception, match="AUTO_PROMOTION_PARTITIONS_START"):
        range_tags(first.replace(year=first.year - 1), first)
