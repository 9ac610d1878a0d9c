"""A real server on loopback in front of the test's database."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from promotion_pipeline.api import create_app
from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.databases import copied_database

TLS = ssl.create_default_context()
"""Made once: httpx2 would make one for each client."""
PAGE = "/experiments/checkout"
CRON_SECRET = "a cron secret, ünïcödé 秘密"


@contextmanager
def serving(app: FastAPI, **options: Any) -> Iterator[str]:
    """Run uvicorn in a thread; yields its base URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, access_log=False, log_config=None, server_header=False, **options
    )
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
    clients: dict[str, httpx2.Client] = field(default_factory=dict)

    def as_role(self, role: str | None) -> httpx2.Client:
        """A client with the token of a role; None: without any."""
        return self.clients[role or "nobody"]

    @property
    def viewer(self) -> httpx2.Client:
        """May read."""
        return self.clients["viewer"]

    @property
    def operator(self) -> httpx2.Client:
        """May act; the history calls it `operator-token`."""
        return self.clients["operator"]

    @property
    def nobody(self) -> httpx2.Client:
        """Has no credential."""
        return self.clients["nobody"]

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What a query gives."""
        with self.store.connect() as connection:
            return connection.execute(query, parameters).fetchall()


StartApi = Callable[..., Api]


@contextmanager
def running_api(store: Store, **settings: Any) -> Iterator[Api]:
    """A server with the settings given (on top of the store's), and tokens of every role."""
    chosen = Settings(**{**vars(store.settings), "cron_secret": SecretStr(CRON_SECRET), **settings})
    where = Store(store.url, chosen)
    app = create_app(where, chosen)
    with ExitStack() as stack:
        url = stack.enter_context(serving(app))
        secrets = {role.value: create_token(where, f"{role.value}-token", role, "tests")[0] for role in Role}
        api = Api(app, url, where, secrets)
        for role, secret in {"nobody": None, **secrets}.items():
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            client = httpx2.Client(base_url=url, headers=headers, timeout=60, verify=TLS)
            api.clients[role] = stack.enter_context(client)
        yield api


@pytest.fixture
def start_api(store: Store) -> Iterator[StartApi]:
    """Starts servers on the test's database."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running_api(store, **settings))


@pytest.fixture(scope="module")
def shared_api(server: EmbeddedServer, server_home: Path) -> Iterator[Api]:
    """A server that a whole module uses: for requests that are refused and leave nothing behind."""
    with (
        copied_database(server, TEMPLATE, "shared") as url,
        running_api(Store(url, Settings(home=server_home, database_url=SecretStr(url)))) as api,
    ):
        yield api


@pytest.fixture
def api(start_api: StartApi) -> Api:
    """A server with a cron secret and a token of every role."""
    return start_api()


class Browser:
    """Keeps cookies, follows redirects, fills forms."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.Client(base_url=url, follow_redirects=True, timeout=60, verify=TLS)

    def log_in(self, token: str, to: str = "/experiments") -> httpx2.Response:
        """Through the form."""
        return self.client.post("/login", data={"token": token, "next": to})

    def csrf(self, page: str) -> str:
        """What a form on the page carries."""
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.client.get(page).text)
        assert found is not None
        return found.group(1)

    def submit(self, action: str, **fields: str) -> httpx2.Response:
        """Send a form of the experiment's page."""
        return self.client.post(f"{PAGE}/{action}", data={"csrf": self.csrf(PAGE), **fields})


@pytest.fixture
def browser(api: Api) -> Iterator[Browser]:
    """A browser that nobody is logged in to."""
    opened = Browser(api.url)
    yield opened
    opened.client.close()


@pytest.fixture
def operator(api: Api, browser: Browser) -> Browser:
    """A browser in which the operator is logged in."""
    browser.log_in(api.secrets["operator"])
    return browser
