"""The code location behind gRPC, as a real process that a workspace loads it from."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._grpc.client import DagsterGrpcClient

from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.orchestration.instance import instance_environment
from promotion_pipeline_tests.orchestration.conftest import Stage

DEPLOY = Path(__file__).parents[2] / "deploy"
START_SECONDS = 120.0


@contextlib.contextmanager
def code_server(stage: Stage, tmp_path: Path) -> Iterator[int]:
    """The port of `dagster api grpc`, started as the unit file does, on the stage as it is then."""
    # Any that is free: those from a certain one on are tried by another test of this kind at the same time.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found = probe.getsockname()[1]
    environment = {**os.environ, **instance_environment(stage.store), "AUTO_PROMOTION_DATABASE_URL": stage.store.url}
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(found)]
    named = ["-m", "promotion_pipeline.definitions", "--location-name", "promotion_pipeline"]
    log = tmp_path / "log"
    with process_group([*command, *named], environment, tmp_path, log) as process:
        _wait(process, found, log)
        try:
            yield found
        finally:
            # It takes no notice of the first signals.
            DagsterGrpcClient(port=found, host="127.0.0.1").shutdown_server()


@pytest.fixture
def port(stage: Stage, tmp_path: Path) -> Iterator[int]:
    """A code server on the empty stage."""
    with code_server(stage, tmp_path) as found:
        yield found


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    client = DagsterGrpcClient(port=port, host="127.0.0.1")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.ping("hello")
        except Exception:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_the_example_workspace_shows_the_location_and_runs_are_started_through_it(
    stage: Stage, port: int, tmp_path: Path
) -> None:
    example = yaml.safe_load((DEPLOY / "workspace.yaml").read_text(encoding="utf-8"))
    example["load_from"][0]["grpc_server"]["port"] = port
    file = tmp_path / "workspace.yaml"
    file.write_text(yaml.safe_dump(example), encoding="utf-8")
    with WorkspaceProcessContext(stage.instance, WorkspaceFileTarget([str(file)])) as context:
        workspace = context.create_request_context()
        assert workspace.code_location_errors() == []
        location = workspace.get_code_location("promotion_pipeline")
        (repository,) = location.get_repositories().values()
        assert [one.name for one in repository.get_schedules()] == [
            "hourly_promotion_schedule",
            "realised_lift_schedule",
            "served_traffic_schedule",
        ]
        assert {"promotion_sensor", "notification_sensor"} <= {one.name for one in repository.get_sensors()}
        sensor = location.get_sensor_execution_data(
            stage.instance, repository.handle, "promotion_sensor", None, None, None, None, None
        )
        assert sensor.skip_message and sensor.run_requests == []
        run_id = created(stage.instance, location, repository, "evaluate_job")
        stage.instance.launch_run(run_id, workspace)
        assert finished(stage.instance, run_id) is dg.DagsterRunStatus.SUCCESS


def created(instance: dg.DagsterInstance, location: CodeLocation, repository: RemoteRepository, name: str) -> str:
    """A run of a job with an empty config, as the UI makes it."""
    job = repository.get_full_job(name)
    plan = location.get_execution_plan(job, {}, None, None, instance).execution_plan_snapshot
    run = instance.create_run(
        job_name=name,
        run_id=None,
        run_config={},
        status=None,
        tags=job.tags,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=plan,
        job_snapshot=job.job_snapshot,
        parent_job_snapshot=job.parent_job_snapshot,
        asset_selection=None,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_graph=repository.asset_graph,
    )
    return run.run_id


def finished(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    """How a run ended."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.is_finished:
            return run.status
        time.sleep(0.1)
    raise AssertionError(f"run {run_id} did not end")
