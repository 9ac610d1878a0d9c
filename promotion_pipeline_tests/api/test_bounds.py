"""What `serve` bounds: headers, the time of a request, open sockets; and a health that answers whatever happens."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx2
import pytest

from promotion_pipeline.api.protocol import BoundedProtocol
from promotion_pipeline_tests.api.conftest import Api, serving


class Impatient(BoundedProtocol):
    """The protocol of `serve`, for a test that does not want to wait."""

    request_seconds = 0.3


def said_to(url: str, text: bytes) -> bytes:
    """What comes back until the server closes; it is never told that the request is over."""
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as opened:
        opened.sendall(text)
        received = b""
        try:
            while part := opened.recv(65_536):
                received += part
        except ConnectionResetError:
            pass
        return received


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /api/monitoring/auto-promotion/check HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_a_connection_that_never_says_all_is_closed(api: Api, text: bytes) -> None:
    with serving(api.app, http=Impatient) as url:
        assert b"200" not in said_to(url, text)
        assert httpx2.get(f"{url}/health").status_code == 200


def test_headers_without_end_are_refused(api: Api) -> None:
    with serving(api.app, http=BoundedProtocol, h11_max_incomplete_event_size=32_768) as url:
        assert b" 400 " in said_to(url, b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)


def test_one_connection_too_many_is_answered_503(api: Api) -> None:
    with serving(api.app, http=BoundedProtocol, limit_concurrency=2) as url:
        parts = urlsplit(url)
        held = [socket.create_connection((str(parts.hostname), int(parts.port or 0))) for _ in range(3)]
        try:
            assert httpx2.get(f"{url}/health").status_code == 503
        finally:
            for one in held:
                one.close()


def test_health_says_503_while_a_lock_is_held_on_what_every_request_reads(api: Api) -> None:
    with api.store.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE api_tokens IN ACCESS EXCLUSIVE MODE")
        answer = api.nobody.get("/health", timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (503, "dependency-down")
    assert api.nobody.get("/health").status_code == 200


def test_health_answers_while_every_thread_waits_for_a_lock(api: Api) -> None:
    with api.store.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE eligibility_decisions IN ACCESS EXCLUSIVE MODE")
        parts = urlsplit(api.url)
        waiting = []
        for _ in range(60):
            one = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
            token = api.secrets["viewer"]
            one.sendall(
                f"GET /api/monitoring/experiments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            waiting.append(one)
        assert api.nobody.get("/health", timeout=10).status_code == 200
    for one in waiting:
        one.close()
