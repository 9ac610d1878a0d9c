"""The examples in `deploy/` fit the product, its `dagster.yaml` and Kubernetes; no cluster is asked."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import typer
import yaml
from dagster._cli.api import api_cli
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from kubernetes.client import ApiClient, models

from promotion_pipeline.cli.main import app
from promotion_pipeline.config import Settings

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
CHART = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))
OURS = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "serve.yaml").read_text(encoding="utf-8")))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def snake(values: Any) -> Any:
    """Names as `dagster.yaml` has them: the chart's own are in camelCase, tags and their settings are passed on."""
    if isinstance(values, list):
        return [snake(value) for value in values]
    if not isinstance(values, dict):
        return values
    return {
        name if name == "applyLimitPerUniqueValue" else re.sub("([A-Z])", lambda m: f"_{m[1].lower()}", name): snake(v)
        for name, v in values.items()
    }


def rendered() -> dict[str, Any]:
    """What the chart makes of the values, of those parts that dagster.yaml has as well."""
    daemon, retention = CHART["dagsterDaemon"], snake(CHART["retention"])
    concurrency = snake(CHART["concurrency"])
    assert concurrency.pop("enabled") and retention.pop("enabled")
    return {
        "concurrency": concurrency,
        "run_monitoring": snake(daemon["runMonitoring"]),
        "run_retries": snake(daemon["runRetries"]),
        "retention": retention,
        "telemetry": CHART["telemetry"],
        **CHART["additionalInstanceConfig"],
    }


def test_the_chart_gets_the_settings_of_dagster_yaml() -> None:
    chart = rendered()
    assert chart["retention"]["sensor"]["purge_after_days"].pop("started") == -1
    assert chart == {name: OURS[name] for name in chart}
    assert set(OURS) - set(chart) == {"storage", "run_launcher"}


def test_dagster_takes_what_the_chart_makes_of_the_values(tmp_path: Path) -> None:
    coordinator = CHART["dagsterDaemon"]["runCoordinator"]
    assert (coordinator["enabled"], coordinator["type"]) == (True, "CustomRunCoordinator")
    custom = coordinator["config"]["customRunCoordinator"]
    text = yaml.safe_dump(rendered() | {"run_coordinator": custom})
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    assert dagster_instance_config(str(tmp_path))
    queue = getattr(importlib.import_module(custom["module"]), custom["class"])
    assert queue.__name__ == "QueuedRunCoordinator"


def test_the_launcher_and_the_contexts_of_the_chart_are_known_to_kubernetes() -> None:
    launcher = CHART["runLauncher"]
    assert launcher["type"] == "K8sRunLauncher"
    UserDefinedDagsterK8sConfig.from_dict(snake(launcher["config"]["k8sRunLauncher"]["runK8sConfig"]))
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    for part in (CHART["dagsterWebserver"], CHART["dagsterDaemon"], code):
        assert_known(part["podSecurityContext"], models.V1PodSecurityContext)
        assert_known(part["securityContext"], models.V1SecurityContext)
        assert_known(part.get("resources", {}), models.V1ResourceRequirements)
        assert part["image"] == code["image"]


def test_every_manifest_is_known_to_kubernetes_and_belongs_to_the_others() -> None:
    kinds = {"Deployment": models.V1Deployment, "Service": models.V1Service, "CronJob": models.V1CronJob}
    for manifest in MANIFESTS:
        assert_known(manifest, kinds[manifest["kind"]])
    deployment, service, cron = MANIFESTS
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    image = f"{code['image']['repository']}:{code['image']['tag']}"
    containers = [one for manifest in (deployment, cron) for one in containers_of(manifest)]
    assert {one["image"] for one in containers} == {image}
    assert {one["envFrom"][0]["secretRef"]["name"] for one in containers} == {code["envSecrets"][0]["name"]}


def assert_known(given: Any, kind: type) -> None:
    """Kubernetes' client drops what it does not know: what comes back must be the same."""
    client = ApiClient()
    read = client.deserialize(SimpleNamespace(data=json.dumps(given)), kind.__name__)
    assert client.sanitize_for_serialization(read) == given


def containers_of(manifest: Any) -> list[Any]:
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def variables() -> Iterator[str]:
    """Every variable of the product that an example names."""
    for file in DEPLOY.rglob("*"):
        if file.is_file():
            yield from re.findall(r"\bAUTO_PROMOTION_[A-Z_]+", file.read_text(encoding="utf-8"))


def test_every_variable_of_the_examples_is_known() -> None:
    values = {"URL": "postgresql+psycopg2://user@host:5432/name", "EXECUTOR": "in_process", "HOME": "/tmp"}
    named = {name: values.get(name.rpartition("_")[2], "x") for name in variables()}
    assert {"AUTO_PROMOTION_DATABASE_URL", "AUTO_PROMOTION_DAGSTER_DATABASE_URL"} <= set(named)
    assert Settings.from_environment(named)


def commands() -> list[list[str]]:
    """Every command of the product that an example starts."""
    manifests = [one["args"] for manifest in MANIFESTS[::2] for one in containers_of(manifest)]
    units = [
        shlex.split(line.partition("=")[2].removeprefix("/opt/promotion-pipeline/.venv/bin/"))
        for unit in UNITS
        for line in unit.read_text(encoding="utf-8").splitlines()
        if line.startswith("Exec")
    ]
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (image,) = re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)
    return [*manifests, *units, json.loads(image)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_of_the_examples_exists(command: list[str]) -> None:
    program, *arguments = command
    (script,) = entry_points(group="console_scripts", name=program)
    assert callable(script.load())
    if program == "promotion-pipeline":
        group: Any = typer.main.get_command(app)
        while hasattr(group, "commands"):
            group = group.commands[arguments.pop(0)]
        group.make_context(program, arguments)
    elif program == "dagster":
        assert_starts_the_code_server(arguments[2:])


def test_the_chart_starts_the_code_server_with_arguments_that_it_takes() -> None:
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    assert_starts_the_code_server(["-h", "0.0.0.0", "-p", str(code["port"]), *code["dagsterApiGrpcArgs"]])


def assert_starts_the_code_server(arguments: list[str]) -> None:
    context = api_cli.commands["grpc"].make_context("dagster api grpc", list(arguments))
    module = importlib.import_module(context.params["module_name"])
    assert isinstance(module.defs, dg.Definitions)
    assert context.params["location_name"] == "promotion_pipeline"


def test_the_image_is_built_from_files_that_exist_with_the_tested_versions_and_without_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.*) \S+$", text, re.MULTILINE):
        assert [name for name in line.split() if not (REPOSITORY / name).exists()] == []
    assert "-c requirements.lock" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001"]
    assert CHART["dagsterDaemon"]["podSecurityContext"]["runAsUser"] == 10001
    assert f"DAGSTER_HOME={CHART['global']['dagsterHome']}" in text
