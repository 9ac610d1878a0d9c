"""What receivers of the traffic webhook share: a signed message comes in, what is served goes out.

A system is one class with `split` (variant -> percent, what is served) and `serve(split)`, which changes the weights.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

OLDEST_SECONDS = 300
LONGEST_BODY = 1_000_000


class RefusalError(Exception):
    """What is answered instead of a split."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class System(Protocol):
    """One experiment in the system that serves it, as it is now."""

    @property
    def split(self) -> dict[str, float]:
        """Variant -> percent."""

    def serve(self, split: dict[str, float]) -> None:
        """Change the weights, and nothing else."""


Opened = Callable[[str | None], System]
"""The system of an experiment, by its name; reads it."""


def asked(system: str, method: str, url: str, headers: dict[str, str], body: object = None) -> Any:
    """The JSON that a system answers; its refusals become ours, so that the sender knows whether waiting helps."""
    content = None if body is None else json.dumps(body).encode()
    known = {"Content-Type": "application/json", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, known, method=method), timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        wait = {"Retry-After": error.headers["Retry-After"]} if error.headers.get("Retry-After") else {}
        raise RefusalError(error.code, f"{system}: {error.read(300).decode('utf-8', 'replace')}", wait) from None
    except OSError as error:
        raise RefusalError(502, f"{system} cannot be reached: {type(error).__name__}") from None


def split_after(opened: Opened, path: str, body: bytes) -> dict[str, float]:
    """What is served: for a read what it is, for a write (which has a body) what it is afterwards."""
    if not body:
        return opened(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)).get("experiment")).split
    wanted = json.loads(body)["data"]
    system = opened(wanted["experiment"])
    if system.split == wanted["split"]:
        return system.split
    if system.split != wanted.get("before", system.split):
        raise RefusalError(409, f"something else is served: {system.split}")
    lacking = [name for name, share in wanted["split"].items() if share and name not in system.split]
    if lacking:
        raise RefusalError(422, f"there is no variation {', '.join(lacking)}")
    system.serve(wanted["split"])
    return opened(wanted["experiment"]).split


def is_signed(headers: Any, body: bytes) -> bool:
    """Whether a message is signed by Standard Webhooks, and is not an old one that is sent again."""
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    at = headers.get("webhook-timestamp", "")
    signed = f"{headers.get('webhook-id', '')}.{at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    is_new = at.isdecimal() and abs(time.time() - int(at)) < OLDEST_SECONDS
    return is_new and any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


def receive(opened: Opened, description: str | None) -> None:
    """Answer on a port of this machine until interrupted."""

    class Receiver(BaseHTTPRequestHandler):
        """Answers what is served."""

        def _answer(self) -> None:
            length = self.headers.get("Content-Length", "0")
            body = self.rfile.read(min(int(length), LONGEST_BODY)) if length.isdecimal() else b""
            extra: dict[str, str] = {}
            try:
                if not is_signed(self.headers, body):
                    raise RefusalError(401, "not signed by WEBHOOK_SECRET within the last minutes")
                status, said = 200, json.dumps({"split": split_after(opened, self.path, body)})
            except RefusalError as error:
                status, said, extra = error.status, json.dumps({"error": str(error)}), error.headers
            except (KeyError, TypeError, ValueError) as error:
                status, said = 400, json.dumps({"error": f"not understood: {error!r}"})
            self.send_response(status)
            for name, value in {**extra, "Content-Type": "application/json", "Content-Length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.encode())

        do_GET = do_POST = _answer  # noqa: N815

    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=8090)
    ThreadingHTTPServer(("127.0.0.1", arguments.parse_args().port), Receiver).serve_forever()
