"""How steps are executed and runs are started, as the environment and `dagster.yaml` say; no cluster is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import PoolGranularity
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.orchestration.names import EVALUATION_POOL
from promotion_pipeline.orchestration.resources import EXECUTORS, executor_from_environment
from promotion_pipeline.orchestration.storage import EnvironmentStorage
from promotion_pipeline.run_launcher import LAUNCHERS, EnvironmentRunLauncher, WatchfulRunLauncher
from promotion_pipeline.store.database import current_store, dagster_sqlalchemy_url
from promotion_pipeline_tests.orchestration.conftest import Stage

EXECUTOR = "AUTO_PROMOTION_EXECUTOR"
LAUNCHER = "AUTO_PROMOTION_RUN_LAUNCHER"
DEFINITIONS = "promotion_pipeline.definitions"
PYTHON = RepositoryPythonOrigin(sys.executable, ModuleCodePointer(DEFINITIONS, "defs"))
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
    "users": [{"name": "nobody", "user": {}}],
    "current-context": "none",
}


@pytest.fixture
def launchers(tmp_path: Path) -> dict[str, dict[str, object]]:
    """What each launcher wants to know at least, and one thing more."""
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(KUBECONFIG), encoding="utf-8")
    both: dict[str, object] = {
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": "/opt/dagster/dagster_home",
        "job_namespace": "promotions",
        "load_incluster_config": False,
        "kubeconfig_file": str(file),
    }
    return {
        "k8s": both | {"resources": {"limits": {"memory": "2Gi"}}},
        "celery_k8s": both | {"postgres_password_secret": "dagster-postgresql"},
        "docker": {"image": "example.com/promotion-pipeline:1", "network": "promotions"},
    }


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_takes_the_jobs_with_an_empty_config(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, name)
    definitions = build_definitions()
    dg.Definitions.validate_loadable(definitions)
    for job in ("hourly_promotion_job", "apply_promotion_job", "evaluate_job"):
        resolved = definitions.resolve_job_def(job)
        assert resolved.executor_def.name == name.replace("celery_k8s", "celery-k8s")
        assert dg.validate_run_config(resolved, {})


def test_an_unknown_executor_is_refused_with_the_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, "kubernetes")
    with pytest.raises(ConfigError, match="'kubernetes' is unknown; known are in_process, multiprocess, k8s"):
        executor_from_environment()


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, "k8s")
    monkeypatch.setitem(sys.modules, "dagster_k8s", None)
    with pytest.raises(ConfigError, match=r"pip install 'promotion-pipeline\[kubernetes\]'"):
        executor_from_environment()


def test_the_executor_is_configured_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, "multiprocess")
    monkeypatch.setenv(EXECUTOR + "_CONFIG", '{"max_concurrent": 3}')
    config = dg.validate_run_config(build_definitions().resolve_job_def("evaluate_job"), {})
    assert config["execution"]["multiprocess"]["max_concurrent"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"max_concurrent": "hunter2"}', "max_concurrent"),
        ('{"concurrency": "hunter2"}', "concurrency"),
        ('["hunter2"]', "an object such as .*, not list"),
        ('{"hunter2"', "is no JSON"),
    ],
)
def test_a_bad_configuration_is_refused_without_its_values(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXECUTOR, "multiprocess")
    monkeypatch.setenv(EXECUTOR + "_CONFIG", text)
    with pytest.raises(ConfigError, match=said) as refusal:
        executor_from_environment()
    assert "hunter2" not in str(refusal.value)


@pytest.fixture
def instance(stage: Stage, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A second instance of the stage, whose launcher is not made yet."""
    with open_instance(stage.store) as opened:
        yield opened


def test_runs_are_started_beside_the_code_location_unless_something_else_is_said(instance: dg.DagsterInstance) -> None:
    assert type(instance.run_launcher) is WatchfulRunLauncher


def test_dagsters_own_commands_find_the_instance_without_a_setting_for_it(
    store_environment: dict[str, str],
) -> None:
    found = EnvironmentStorage.from_config_value(None, {})
    assert found.postgres_url == current_store().dagster_url
    assert "/dagster?" in found.postgres_url
    assert dagster_sqlalchemy_url("postgresql://app@127.0.0.1/runs") == "postgresql+psycopg2://app@127.0.0.1/runs"


def test_a_command_may_take_a_range_of_hours_of_everything() -> None:
    graph = build_definitions().resolve_asset_graph()
    policies = [graph.get(key).backfill_policy for key in graph.materializable_asset_keys]
    assert len(policies) >= 5
    assert policies == [dg.BackfillPolicy.single_run()] * len(policies)


@pytest.mark.parametrize("name", [name for name in LAUNCHERS if name != "default"])
def test_every_launcher_is_made_from_dagster_yaml_and_the_environment(
    name: str,
    instance: dg.DagsterInstance,
    launchers: dict[str, dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LAUNCHER, name)
    monkeypatch.setenv(LAUNCHER + "_CONFIG", json.dumps(launchers[name]))
    launcher: Any = instance.run_launcher
    assert type(launcher).__name__ == LAUNCHERS[name].attribute
    assert launcher._instance is instance
    assert "promotions" in (launcher.networks if name == "docker" else [launcher.job_namespace])


def test_what_the_environment_says_goes_before_the_file(
    launchers: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(LAUNCHER, "k8s")
    monkeypatch.setenv(LAUNCHER + "_CONFIG", '{"job_namespace": "experiments"}')
    named = {"module": EnvironmentRunLauncher.__module__, "class": EnvironmentRunLauncher.__name__}
    file = json.dumps({"run_launcher": {**named, "config": launchers["k8s"]}})
    (tmp_path / "dagster.yaml").write_text(file, encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        launcher: Any = opened.run_launcher
        assert (launcher.job_namespace, launcher.resources) == ("experiments", {"limits": {"memory": "2Gi"}})


def test_a_launcher_without_what_it_needs_says_what(
    instance: dg.DagsterInstance, launchers: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LAUNCHER, "k8s")
    with pytest.raises(ConfigError, match=f'{LAUNCHER}=k8s is refused: .*"instance_config_map"'):
        _ = instance.run_launcher
    monkeypatch.setenv(LAUNCHER, "celery_k8s")
    monkeypatch.setenv(LAUNCHER + "_CONFIG", json.dumps(launchers["k8s"]))
    with pytest.raises(ConfigError, match=f"{LAUNCHER} is refused: .*'resources'"):
        _ = instance.run_launcher
    monkeypatch.setenv(LAUNCHER, "kubernetes")
    with pytest.raises(ConfigError, match="known are default, k8s, celery_k8s, docker"):
        _ = instance.run_launcher


def test_what_is_not_chosen_is_not_imported() -> None:
    code = (
        "import sys, promotion_pipeline.definitions, promotion_pipeline.run_launcher as r\n"
        "r.EnvironmentRunLauncher.from_config_value(None, {})\n"
        "print(*(m for m in ('kubernetes', 'celery', 'docker') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == "\n"


def test_the_values_of_dagster_yaml_are_in_force(stage: Stage) -> None:
    instance = stage.instance
    concurrency = instance.get_concurrency_config()
    queue = concurrency.run_queue_config
    assert queue is not None
    assert (queue.max_concurrent_runs, queue.should_block_op_concurrency_limited_runs) == (10, True)
    assert queue.tag_concurrency_limits == [
        {"key": "promotion_pipeline/lane", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
        {"key": BACKFILL_ID_TAG, "limit": 1},
    ]
    assert concurrency.pool_config.pool_granularity is PoolGranularity.RUN
    assert concurrency.pool_config.default_pool_limit == 2
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 60
    assert (instance.run_monitoring_start_timeout_seconds, instance.run_monitoring_cancel_timeout_seconds) == (180, 180)
    assert instance.run_monitoring_max_runtime_seconds == 172800
    assert instance.run_monitoring_poll_interval_seconds == 60
    assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 2)
    assert not instance.run_retries_retry_on_asset_or_op_failure


def queue(stage: Stage, job: str, tags: Mapping[str, str]) -> str:
    """A run that waits in the queue."""
    definition = build_definitions().resolve_job_def(job)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=DEFINITIONS))
    repository = RemoteRepositoryOrigin(location, "__repository__")
    run = stage.instance.create_run_for_job(
        definition,
        tags={**definition.tags, **tags},
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=RemoteJobOrigin(repository, job),
        job_code_origin=JobPythonOrigin(job, PYTHON),
    )
    return run.run_id


def cancel(stage: Stage, run_id: str) -> None:
    run = stage.instance.get_run_by_id(run_id)
    assert run is not None
    stage.instance.report_run_canceled(run)


def dequeued(stage: Stage) -> list[str]:
    """Runs that the daemon would start now; they are marked as started."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    due = daemon._get_runs_to_dequeue(stage.instance, stage.instance.get_concurrency_config(), None)
    for run in due:
        event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
        stage.instance.report_dagster_event(event, run.run_id)
    return [run.run_id for run in due]


def test_beside_a_backfill_the_hourly_run_has_its_place_and_a_second_backfill_waits(stage: Stage) -> None:
    instance = stage.instance
    instance.event_log_storage.initialize_concurrency_limit_to_default(EVALUATION_POOL)
    first = queue(stage, "__ASSET_JOB", {BACKFILL_ID_TAG: "one"})
    second = queue(stage, "__ASSET_JOB", {BACKFILL_ID_TAG: "two"})
    hourly = queue(stage, "hourly_promotion_job", {})
    by_hand = queue(stage, "__ASSET_JOB", {})
    apply = queue(stage, "apply_promotion_job", {})
    assert dequeued(stage) == [first, hourly, apply]
    assert dequeued(stage) == []
    cancel(stage, first)
    assert dequeued(stage) == [second]
    cancel(stage, hourly)
    assert dequeued(stage) == [by_hand]
