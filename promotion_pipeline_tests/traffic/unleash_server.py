"""A real unleash-server on a database of the session's PostgreSQL, where there is a Node to run it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from promotion_pipeline.traffic.targets.configured import UnleashTarget
from promotion_pipeline_tests.traffic.outside import UNLEASH, node_packages
from promotion_pipeline_tests.traffic.provider import TOKEN

FRONTEND_TOKEN = "default:production.a-frontend-token-of-the-tests"
START_SECONDS = 90


class UnleashServer:
    """Its admin API, and flags made through it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = httpx2.Client(base_url=url, headers={"Authorization": TOKEN}, timeout=30)
        self.browser = httpx2.Client(base_url=url, headers={"Authorization": FRONTEND_TOKEN}, timeout=30)

    def make_flag(self, feature: str, variants: dict[str, int]) -> None:
        """A flag that is on, with two strategies in production and one in development; the first has a constraint."""
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
        rollout = {"rollout": "100", "stickiness": "userId", "groupId": feature}
        for environment, constraints in (("production", [swiss]), ("production", []), ("development", [])):
            strategy = {
                "name": "flexibleRollout",
                # Off for everybody: only the first strategy serves.
                "parameters": rollout if constraints else {**rollout, "rollout": "0"},
                "constraints": constraints,
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
        path = f"/api/admin/projects/default/features/{feature}/environments/{environment}/strategies"
        answer = self.admin.get(path)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return sorted(found, key=lambda strategy: not strategy["constraints"])

    def edit(self, feature: str, variants: list[dict[str, Any]]) -> None:
        """An edit of the first strategy, as the UI makes it."""
        strategy = self.strategies(feature)[0]
        path = f"/api/admin/projects/default/features/{feature}/environments/production/strategies/{strategy['id']}"
        self.admin.put(path, json={**strategy, "variants": variants}).raise_for_status()

    def served(self, feature: str, user: str, country: str = "CH") -> str | None:
        """The variant that Unleash's own evaluation gives a user; None where the flag is off for them."""
        answer = self.browser.get("/api/frontend", params={"userId": user, "properties[country]": country})
        answer.raise_for_status()
        toggles = {toggle["name"]: toggle for toggle in answer.json()["toggles"]}
        return str(toggles[feature]["variant"]["name"]) if feature in toggles else None

    def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = self.admin.post(f"/api/admin/{path}", json=body)
        assert answer.is_success, answer.text


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
        "INIT_FRONTEND_API_TOKENS": FRONTEND_TOKEN,
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
