"""A real server on loopback in front of the test's database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from promotion_pipeline.api import create_app
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.tokens import Role, create_token

CRON_SECRET = "a cron secret, ünïcödé 秘密"


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Run uvicorn in a thread; yields its base URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Api:
    """The server, and a client for each role."""

    app: FastAPI
    url: str
    store: Store
    secrets: dict[str, str]
    """Role -> its token."""
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def as_role(self, role: str | None) -> httpx.Client:
        """A client with the token of a role; None: without any."""
        return self.clients[role or "nobody"]

    @property
    def viewer(self) -> httpx.Client:
        """May read."""
        return self.clients["viewer"]

    @property
    def operator(self) -> httpx.Client:
        """May act; the history calls it `operator-token`."""
        return self.clients["operator"]

    @property
    def nobody(self) -> httpx.Client:
        """Has no credential."""
        return self.clients["nobody"]

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What a query gives."""
        with self.store.connect() as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]


StartApi = Callable[..., Api]


@pytest.fixture
def start_api(store: Store) -> Iterator[StartApi]:
    """Starts a server with the settings given (on top of the test's), and tokens of every role."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Api:
            chosen = Settings(**{**vars(store.settings), "cron_secret": SecretStr(CRON_SECRET), **settings})
            where = Store(store.url, chosen)
            app = create_app(where, chosen)
            url = stack.enter_context(serving(app))
            secrets = {role.value: create_token(where, f"{role.value}-token", role, "tests")[0] for role in Role}
            api = Api(app, url, where, secrets)
            for role, secret in {"nobody": None, **secrets}.items():
                headers = {"Authorization": f"Bearer {secret}"} if secret else {}
                client = httpx.Client(base_url=url, headers=headers, timeout=60)
                api.clients[role] = stack.enter_context(client)
            return api

        yield start


@pytest.fixture
def api(start_api: StartApi) -> Api:
    """A server with a cron secret and a token of every role."""
    return start_api()
