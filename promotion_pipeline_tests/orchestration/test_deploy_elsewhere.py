"""The compose file, the files of Dagster+ and `dg.toml`: they fit the product and each other; nothing is asked."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext

from promotion_pipeline_tests.orchestration.composed import COMPOSE, DATABASE, services, starting_order
from promotion_pipeline_tests.orchestration.published import merged, unfit, unread

REPOSITORY = Path(__file__).parents[2]
PLUS = REPOSITORY / "deploy" / "dagster_plus"
SERVICES = services()
CHART = yaml.safe_load((REPOSITORY / "deploy" / "values.yaml").read_text(encoding="utf-8"))


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_tables_are_up_to_date_before_anything_else_starts_and_the_code_before_what_loads_it() -> None:
    order = starting_order(SERVICES)
    assert order[0] == "schema"
    assert set(order) == set(SERVICES) - {DATABASE, "prune"}
    assert order.index("code") < min(order.index("daemon"), order.index("webserver"))


def test_a_service_waits_for_what_the_other_can_tell() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            ends = SERVICES[other].get("restart") == "no"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), (name, other)
            assert ends or "healthcheck" in SERVICES[other]


def test_nothing_of_the_compose_file_is_reached_from_another_machine_and_no_password_is_written_there() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    asked = re.findall(r"\$\{(\w+)(:\?)?", text)
    assert set(asked) == {("POSTGRES_PASSWORD", ":?")}


def test_the_workspace_of_the_compose_file_names_the_code_server_that_it_starts() -> None:
    (location,) = read(COMPOSE / "workspace.yaml")["load_from"]
    server = location["grpc_server"]
    assert server["host"] in SERVICES
    assert f"--port={server['port']}" in SERVICES[server["host"]]["command"]
    assert f"--location-name={server['location_name']}" in SERVICES[server["host"]]["command"]


def test_what_runs_print_is_seen_by_the_webserver_and_lies_where_the_image_lets_it() -> None:
    (logs,) = SERVICES["code"]["volumes"]
    assert logs in SERVICES["webserver"]["volumes"]
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o promotion -g promotion /opt/dagster/dagster_home {logs.partition(':')[2]}" in image


def test_dagster_plus_gets_the_queue_and_the_retries_of_dagster_yaml() -> None:
    ours, settings = read(REPOSITORY / "dagster.yaml"), read(PLUS / "deployment_settings.yaml")
    assert settings["concurrency"] == ours["concurrency"]
    for part in ("run_monitoring", "run_retries"):
        assert settings[part].items() <= ours[part].items()


def test_dagster_plus_starts_code_and_runs_with_the_secret_and_the_limits_of_the_chart() -> None:
    given = read(PLUS / "container_context.yaml")
    context = K8sContainerContext.create_from_config(given)
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    assert given["k8s"]["env_secrets"] == [one["name"] for one in code["envSecrets"]]
    run = context.run_k8s_config
    assert run.container_config["resources"] == code["resources"]
    assert run.pod_spec_config["security_context"]["run_as_user"] == code["podSecurityContext"]["runAsUser"]


def test_the_image_for_dagster_plus_is_made_of_the_image_of_the_product() -> None:
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    build = read(PLUS / "build.yaml")
    assert build == {"directory": ".", "registry": code["image"]["repository"]}
    lines = (PLUS / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"FROM {code['image']['repository']}:{code['image']['tag']}" in lines
    assert lines[-1] == "USER 10001"


@pytest.mark.parametrize("folder", [REPOSITORY, PLUS], ids=["here", "Dagster+"])
def test_dg_is_told_the_module_and_the_name_of_the_code_location(folder: Path) -> None:
    project = tomllib.loads((folder / "dg.toml").read_text(encoding="utf-8"))["project"]
    module = importlib.import_module(project["code_location_target_module"])
    assert isinstance(module.defs, dg.Definitions)
    (location,) = read(REPOSITORY / "workspace.yaml")["load_from"]
    assert location["python_module"]["location_name"] == project["code_location_name"]


def test_dg_makes_a_location_of_dagster_plus_that_dagster_plus_takes(tmp_path: Path) -> None:
    context = pytest.importorskip("dagster_dg_core.context", reason="dg is not installed (dagster-dg-cli)")
    utils = pytest.importorskip("dagster_dg_cli.cli.utils", reason="dg is not installed (dagster-dg-cli)")
    checks = importlib.import_module("dagster_cloud_cli.commands.ci.checks")
    project = context.DgContext.for_workspace_or_project_environment(PLUS, {})
    file = Path(utils.create_temp_dagster_cloud_yaml_file(project, str(tmp_path)))
    assert checks.check_dagster_cloud_yaml(file).errors == []
    (location,) = read(file)["locations"]
    assert location["code_source"] == {"module_name": "promotion_pipeline.definitions"}
    assert location["container_context"] == read(PLUS / "container_context.yaml")


def test_a_name_that_a_chart_does_not_read_is_found_and_so_is_a_value_that_does_not_fit() -> None:
    schema = {"properties": {"replicas": {"type": "integer"}, "env": {"$ref": "https://example.com/env.json"}}}
    own = {"replicas": 1, "image": {"tag": None}}
    given = {"replicas": "two", "image": {"tagg": "1"}, "env": [{"name": "A"}]}
    assert merged(own, {"image": {"tag": "1"}}) == {"replicas": 1, "image": {"tag": "1"}}
    assert unfit(schema, merged(own, given)) == ['replicas: "two" is not of type "integer"']
    assert list(unread(given, {"replicas", "image", "tag", "env"})) == ["/image/tagg"]
