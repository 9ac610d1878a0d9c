"""The HTTP door of a campaign: a real server on loopback, and what its answers acknowledge."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import uvicorn

from promotion_pipeline.api import create_app
from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults.acts import Acknowledged, Answers
from promotion_pipeline_tests.faults.subjects import Subject

PROMOTES = {
    "promote": Action.PROMOTE,
    "approve": Action.PROMOTE,
    "advance": Action.RAMP,
    "rollback": Action.ROLL_BACK,
}


@dataclass(frozen=True)
class Door:
    """A client with an operator's token."""

    client: httpx2.Client

    def post(self, subject: Subject, act: str, body: dict[str, Any] | None = None, key: str | None = None) -> Reply:
        """One act over HTTP."""
        address = f"/api/monitoring/experiments/{quote(subject.name, safe='')}/{act}"
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.client.post(address, json=body or {}, headers=headers)
        return Reply(act, subject, answer.status_code, answer.json())


@dataclass(frozen=True)
class Reply:
    """What the server said."""

    act: str
    subject: Subject
    status: int
    body: dict[str, Any]

    @property
    def answers(self) -> Answers:
        """What it acknowledges."""
        if self.status != 200:
            return ()
        promotion = UUID(self.body["data"]["promotion"]["id"])
        return (Acknowledged(PROMOTES[self.act], self.subject.id, promotion),)

    @property
    def said(self) -> str:
        """The promotion, or the problem's code."""
        return str(self.body["data"]["promotion"]["id"] if self.status == 200 else self.body["code"])


@contextlib.contextmanager
def serving(store: Store) -> Iterator[str]:
    """Run uvicorn on a store in a thread; yields its base URL."""
    app = create_app(store, store.settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def operator_headers(store: Store, name: str = "operator") -> dict[str, str]:
    """The headers of somebody who may act."""
    secret, _ = create_token(store, name, Role.OPERATOR, "campaign")
    return {"Authorization": f"Bearer {secret}"}


@contextlib.contextmanager
def open_door(store: Store, served: Store) -> Iterator[Door]:
    """A server on `served`, which may lose its connections, and a client of it."""
    headers = operator_headers(store)
    with serving(served) as url, httpx2.Client(base_url=url, headers=headers, timeout=120) as client:
        yield Door(client)
