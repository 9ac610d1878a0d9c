"""A real unleash-server on a database of the session's PostgreSQL, where there is a Node to run it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

from promotion_pipeline.traffic.targets.configured import UnleashTarget
from promotion_pipeline_tests.traffic.outside import UNLEASH, ask_node, node_packages
from promotion_pipeline_tests.traffic.provider import TOKEN

CLIENT_TOKEN = "default:production.a-client-token-of-the-tests"
START_SECONDS = 90
ELIGIBLE = {"country": "CH", "plan": "pro"}
"""Of users who meet the constraint and the segment of a flag's first strategy."""


class UnleashServer:
    """Its admin API, and flags made through it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = httpx2.Client(base_url=url, headers={"Authorization": TOKEN}, timeout=30)

    def make_flag(self, feature: str, variants: dict[str, int]) -> None:
        """A flag that is on, with two strategies in production and one in development.

        The first has a constraint and a segment: it is for users of `ELIGIBLE`.
        """
        self._post("projects/default/features", {"name": feature, "type": "experiment"})
        given = [
            {"name": name, "weight": weight, "weightType": "variable", "stickiness": "userId"}
            for name, weight in variants.items()
        ]
        swiss = {
            "contextName": "country",
            "operator": "IN",
            "values": ["CH"],
            "inverted": False,
            "caseInsensitive": False,
        }
        pro = {**swiss, "contextName": "plan", "values": ["pro"]}
        segment = self._post("segments", {"name": f"{feature}-pro", "constraints": [pro]})["id"]
        rollout = {"rollout": "100", "stickiness": "userId", "groupId": feature}
        for environment, constraints in (("production", [swiss]), ("production", []), ("development", [])):
            strategy = {
                "name": "flexibleRollout",
                # Off for everybody: only the first strategy serves.
                "parameters": rollout if constraints else {**rollout, "rollout": "0"},
                "constraints": constraints,
                "segments": [segment] if constraints else [],
                "variants": given,
            }
            self._post(f"projects/default/features/{feature}/environments/{environment}/strategies", strategy)
        self._post(f"projects/default/features/{feature}/environments/production/on", {})

    def target(self, feature: str, strategy: int = 0) -> dict[str, Any]:
        """The first strategy of a flag, as a traffic target."""
        found = UnleashTarget(
            kind="unleash",
            project="default",
            feature=feature,
            environment="production",
            strategy_id=self.strategies(feature)[strategy]["id"],
        )
        return found.model_dump(mode="json")

    def strategies(self, feature: str, environment: str = "production") -> list[dict[str, Any]]:
        """As the admin API shows them."""
        found: list[dict[str, Any]] = json.loads(self.text(feature, environment))
        return sorted(found, key=lambda strategy: not strategy["constraints"])

    def edit(self, feature: str, variants: list[dict[str, Any]]) -> None:
        """An edit of the first strategy, as the UI makes it."""
        strategy = self.strategies(feature)[0]
        path = f"/api/admin/projects/default/features/{feature}/environments/production/strategies/{strategy['id']}"
        self.admin.put(path, json={**strategy, "variants": variants}).raise_for_status()

    def served(self, feature: str, users: Sequence[str], **properties: str) -> list[str]:
        """The variants that Unleash's own client for Node gives users; `off` where the flag is off for them."""
        options = {"url": self.url, "token": CLIENT_TOKEN, "flag": feature, "properties": {**ELIGIBLE, **properties}}
        return ask_node("unleash", options, users)

    def text(self, feature: str, environment: str = "production") -> str:
        """The strategies of an environment, byte for byte."""
        answer = self.admin.get(f"/api/admin/projects/default/features/{feature}/environments/{environment}/strategies")
        answer.raise_for_status()
        return answer.text

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.admin.post(f"/api/admin/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@contextlib.contextmanager
def unleash_at_work(database_url: str) -> Iterator[UnleashServer]:
    """A server that answers while the context lasts."""
    program = node_packages(UNLEASH) / "unleash-server" / "dist" / "server.js"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DATABASE_SSL": "false",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        "INIT_ADMIN_API_TOKENS": TOKEN,
        "INIT_CLIENT_API_TOKENS": CLIENT_TOKEN,
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
        "LOG_LEVEL": "fatal",
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(["node", program], env=environment, stdout=said, stderr=said)
        server = UnleashServer(f"http://127.0.0.1:{port}")
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            process.wait()


def _wait(server: UnleashServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "unleash-server ended before it answered"
        with contextlib.suppress(httpx2.HTTPError):
            if server.admin.get("/health").is_success:
                return
        time.sleep(0.2)
    raise AssertionError(f"unleash-server does not answer after {START_SECONDS} s")
