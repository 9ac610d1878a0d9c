"""The example receivers, run as they are documented, before a provider on loopback that keeps what it is sent."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline_tests.traffic.delivering import once_more, seed
from promotion_pipeline_tests.traffic.provider import SECRET

RECEIVERS = Path(__file__).parents[2] / "examples" / "receivers"
LD_TOKEN = "api-a-token-of-launchdarkly"


def ld_flag() -> dict[str, Any]:
    """A flag as LaunchDarkly's API shows it, with everything that nobody may touch."""
    rollout = {
        "variations": [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}],
        "bucketBy": "key",
        "contextKind": "user",
    }
    production = {
        "on": True,
        "rules": [{"_id": "r1", "clauses": [{"attribute": "country", "op": "in", "values": ["CH"]}], "variation": 1}],
        "targets": [{"values": ["anna"], "variation": 0}],
        "fallthrough": {"rollout": rollout},
        "offVariation": 0,
    }
    return {
        "key": "checkout-button",
        "variations": [{"_id": "v0", "value": "control"}, {"_id": "v1", "value": "treatment"}],
        "environments": {"production": production, "staging": copy.deepcopy(production)},
    }


def patched(flag: dict[str, Any], patch: list[dict[str, Any]]) -> bool:
    """Do what a JSON patch (RFC 6902) of tests and replacements says, all of it or nothing."""
    changed = copy.deepcopy(flag)
    for one in patch:
        *path, last = one["path"].strip("/").split("/")
        place: Any = changed
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if one["op"] == "test" and place[last] != one["value"]:
            return False
        if one["op"] == "replace":
            place[last] = one["value"]
    flag.clear()
    flag.update(changed)
    return True


def gb_experiment() -> dict[str, Any]:
    """An experiment as GrowthBook's API shows it."""
    phase = {
        "name": "Main",
        "dateStarted": "2026-01-01T00:00:00.000Z",
        "dateEnded": "",
        "reasonForStopping": "",
        "seed": "checkout",
        "coverage": 0.8,
        "trafficSplit": [{"variationId": "0", "weight": 0.5}, {"variationId": "1", "weight": 0.5}],
        "targetingCondition": '{"country": "CH"}',
    }
    names = (("0", "control"), ("1", "treatment"))
    variations = [{"variationId": key, "key": name, "name": name} for key, name in names]
    return {"id": "exp_1", "variations": variations, "phases": [{**phase, "name": "First"}, phase]}


Answers = Callable[[str, Any], tuple[int, Any]]
"""Method and body -> status and answer."""


@contextmanager
def api(token: str, answers: Answers) -> Iterator[str]:
    """A provider's API on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_known = self.headers["Authorization"] == token
            status, answer = answers(self.command, json.loads(body or b"null")) if is_known else (401, {})
            said = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PATCH = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def receiving(script: str, environment: dict[str, str]) -> Iterator[str]:
    """A receiver at work."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(RECEIVERS / script), "--port", str(port)]
    known = {**os.environ, "WEBHOOK_SECRET": SECRET, **environment}
    with subprocess.Popen(command, env=known, stderr=subprocess.DEVNULL) as receiver:
        try:
            for _ in range(200):
                with socket.socket() as attempt:
                    if attempt.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            receiver.terminate()


@pytest.fixture
def flag() -> dict[str, Any]:
    return ld_flag()


@pytest.fixture
def patches() -> list[list[dict[str, Any]]]:
    """What LaunchDarkly was sent."""
    return []


@pytest.fixture
def receiver(flag: dict[str, Any], patches: list[list[dict[str, Any]]]) -> Iterator[str]:
    def answers(method: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            patches.append(body)
            return (200 if patched(flag, body) else 409), flag
        return 200, flag

    flags = {"x": {"project": "default", "flag": "checkout-button", "environment": "production"}}
    with api(LD_TOKEN, answers) as url:
        known = {"LAUNCHDARKLY_URL": url, "LAUNCHDARKLY_TOKEN": LD_TOKEN, "LAUNCHDARKLY_FLAGS": json.dumps(flags)}
        with receiving("launchdarkly.py", known) as at_work:
            yield at_work


def target(receiver: str) -> dict[str, Any]:
    return {"kind": "webhook", "url": receiver, "read_url": f"{receiver}?experiment=x"}


def test_a_promotion_and_its_rollback_change_the_weights_of_launchdarklys_default_rule_and_nothing_else(
    served: Store, receiver: str, flag: dict[str, Any], patches: list[list[dict[str, Any]]]
) -> None:
    before = copy.deepcopy(flag)
    seeded = seed(served, target(receiver))

    promote_winner("x", "manual", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED

    rollout = flag["environments"]["production"]["fallthrough"]["rollout"]
    assert rollout.pop("variations") == [{"variation": 0, "weight": 0}, {"variation": 1, "weight": 100_000}]
    rollout["variations"] = before["environments"]["production"]["fallthrough"]["rollout"]["variations"]
    assert flag == before
    rollout["variations"] = [{"variation": 0, "weight": 0}, {"variation": 1, "weight": 100_000}]

    rollback_promotion("x", "worse", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert flag == before
    assert {one["path"].rpartition("/")[2] for patch in patches for one in patch} == {"weight"}


def test_an_edit_by_hand_in_launchdarkly_is_a_conflict(served: Store, receiver: str, flag: dict[str, Any]) -> None:
    seeded = seed(served, target(receiver))
    for one, weight in zip(
        flag["environments"]["production"]["fallthrough"]["rollout"]["variations"], (90_000, 10_000), strict=True
    ):
        one["weight"] = weight

    promote_winner("x", "manual", "anna", store=served)
    delivery = once_more(served, seeded)

    assert delivery.state is TrafficState.CONFLICTED
    assert "control 90 %" in (delivery.error or "")


def test_a_message_that_is_not_signed_changes_nothing(receiver: str, patches: list[list[dict[str, Any]]]) -> None:
    body = {"data": {"experiment": "x", "split": {"control": 0.0, "treatment": 100.0}}}

    assert httpx2.post(receiver, json=body).status_code == 401
    assert httpx2.get(f"{receiver}?experiment=x").status_code == 401
    assert patches == []


def test_a_promotion_and_its_rollback_change_the_weights_of_growthbooks_last_phase_and_nothing_else(
    served: Store,
) -> None:
    experiment = gb_experiment()
    before, sent = copy.deepcopy(experiment), list[dict[str, Any]]()

    def answers(method: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            sent.append(body)
            experiment.update(body)
        return 200, {"experiment": experiment}

    with api("Bearer secret_x", answers) as url:
        known = {"GROWTHBOOK_URL": url, "GROWTHBOOK_TOKEN": "secret_x", "GROWTHBOOK_EXPERIMENTS": '{"x": "exp_1"}'}
        with receiving("growthbook.py", known) as at_work:
            seeded = seed(served, target(at_work))
            promote_winner("x", "manual", "anna", store=served)
            assert once_more(served, seeded).state is TrafficState.VERIFIED
            assert [one["weight"] for one in experiment["phases"][1]["trafficSplit"]] == [0, 1]
            assert experiment["phases"][0] == before["phases"][0]
            rollback_promotion("x", "worse", "anna", store=served)
            assert once_more(served, seeded).state is TrafficState.VERIFIED

    assert experiment == before
    assert [body.keys() for body in sent] == [{"phases"}] * 2
