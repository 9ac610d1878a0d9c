"""A server on loopback that plays a provider: the part of Unleash's admin API that is used, and a webhook.

Its faults come from outside: what answers late, not at all, with an error, or after somebody else's edit.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STRATEGIES = "/api/admin/projects/shop/features/checkout/environments/production/strategies"
TARGET = {"kind": "unleash", "project": "shop", "feature": "checkout", "environment": "production"}
TOKEN = "*:*.a-token-that-nobody-may-see"
SECRET = "whsec_" + base64.b64encode(b"a key of at least 24 bytes").decode()


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is answered instead of what would be."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    arrives: bool = False
    """Whether the write is done all the same."""
    cuts: bool = False
    """Hang up instead of answering."""


def strategy(control: int = 500, treatment: int = 500, **more: Any) -> dict[str, Any]:
    """A strategy with everything that nobody may touch."""
    return {
        "id": "s1",
        "name": "flexibleRollout",
        "constraints": [{"contextName": "country", "operator": "IN", "values": ["CH"], "inverted": False}],
        "parameters": {"rollout": "100", "stickiness": "userId", "groupId": "checkout"},
        "segments": [7],
        "variants": [
            {"name": "control", "weight": control, "weightType": "variable", "stickiness": "userId"},
            {"name": "treatment", "weight": treatment, "weightType": "variable", "stickiness": "userId"},
        ],
        **more,
    }


class Provider:
    """The server's state, and the faults that a test wants."""

    def __init__(self) -> None:
        self.strategies = [strategy()]
        self.served: dict[str, float] = {"control": 50.0, "treatment": 50.0}
        """Of the webhook."""
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []
        """Taken one a write, before any write is done as asked."""
        self.read_answers: list[Answer] = []
        self.lags: list[list[dict[str, Any]]] = []
        """Older states, one a read: a copy that lags."""
        self.before_read: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None
        self.after_write: Callable[[], None] = lambda: None
        self.url = ""

    @property
    def weights(self) -> dict[str, int]:
        """Of the first strategy."""
        return {variant["name"]: variant["weight"] for variant in self.strategies[0]["variants"]}

    @property
    def writes(self) -> list[Asked]:
        """The requests that wanted something changed."""
        return [asked for asked in self.asked if asked.method in ("PATCH", "POST")]

    def edit(self, control: int, treatment: int) -> None:
        """Somebody's edit by hand."""
        for variant, weight in zip(self.strategies[0]["variants"], (control, treatment), strict=True):
            variant["weight"] = weight

    def answer(self, asked: Asked) -> Answer:
        """What the provider says, and does."""
        self.asked.append(asked)
        if asked.method == "GET":
            self.before_read()
            return (
                self.read_answers.pop(0) if self.read_answers else Answer(body=json.dumps(self._read(asked)).encode())
            )
        self.before_write()
        given = self.answers.pop(0) if self.answers else None
        done = given if given is not None and not given.arrives else self._write(asked)
        self.after_write()
        return given or done

    def _read(self, asked: Asked) -> Any:
        if asked.path == STRATEGIES:
            return self.lags.pop(0) if self.lags else self.strategies
        if asked.path.startswith("/api/admin/events/"):
            edit = {"id": 9, "type": "feature-strategy-update", "environment": "production", "createdBy": "mallory"}
            return {"events": [edit, {**edit, "id": 8, "createdBy": "alice"}]}
        return {"split": self.served}

    def _write(self, asked: Asked) -> Answer:
        wanted = json.loads(asked.body)
        if asked.method == "POST":
            self.served = wanted["data"]["split"]
            return Answer(body=json.dumps({"split": self.served}).encode())
        test, replace = wanted
        assert (test["op"], replace["op"], test["path"], replace["path"]) == (
            "test",
            "replace",
            "/variants",
            "/variants",
        )
        if test["value"] != self.strategies[0]["variants"]:
            return Answer(500, b'{"message": "Test operation failed"}')
        self.strategies[0]["variants"] = copy.deepcopy(replace["value"])
        return Answer(body=json.dumps(self.strategies[0]).encode())


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Nothing on the terminal: clients die on purpose."""


@contextlib.contextmanager
def provider_at_work() -> Iterator[Provider]:
    """A provider that answers while the context lasts."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            said = provider.answer(Asked(self.command, self.path, dict(self.headers.items()), body))
            if said.cuts:
                self.connection.close()
                return
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        do_GET = do_PATCH = do_POST = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
