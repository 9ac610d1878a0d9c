"""A traffic webhook for LaunchDarkly: the split becomes the weights of a flag's default rule, and nothing else changes.

    export WEBHOOK_SECRET=whsec_...                      # the same as AUTO_PROMOTION_TRAFFIC_WEBHOOK_SECRET
    export LAUNCHDARKLY_TOKEN=api-...                    # may update the flag's targeting
    export LAUNCHDARKLY_FLAGS='{"checkout": {"project": "default", "flag": "button", "environment": "production"}}'
    python examples/receivers/launchdarkly.py --port 8090

The experiment's target is then {"kind": "webhook", "url": "http://127.0.0.1:8090/", "read_url":
"http://127.0.0.1:8090/?experiment=checkout"}. Needs nothing but Python. The default rule must be a percentage rollout
that names every variation, with weight 0 where nobody gets it; variants are the variations' values, or their names.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

A_PERCENT = 1_000
"""LaunchDarkly counts weights in thousandths of a percent."""
OLDEST_SECONDS = 300
LONGEST_BODY = 1_000_000
API = os.environ.get("LAUNCHDARKLY_URL", "https://app.launchdarkly.com")


class RefusalError(Exception):
    """What is answered instead of a split."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class Flag:
    """The default rule of one flag in one environment."""

    def __init__(self, experiment: str | None) -> None:
        flags = json.loads(os.environ["LAUNCHDARKLY_FLAGS"])
        if experiment not in flags:
            raise RefusalError(404, f"LAUNCHDARKLY_FLAGS names no flag for the experiment {experiment!r}")
        at = flags[experiment]
        project, flag = (urllib.parse.quote(at[part], safe="") for part in ("project", "flag"))
        self._environment = at["environment"]
        self._url = f"{API}/api/v2/flags/{project}/{flag}"
        self._flag = _asked("GET", f"{self._url}?env={urllib.parse.quote(self._environment)}")
        rule = self._flag["environments"][self._environment]["fallthrough"]
        self._weights: list[dict[str, Any]] = rule.get("rollout", {}).get("variations", [])
        if len(self._weights) != len(self._flag["variations"]):
            raise RefusalError(422, "the default rule is no percentage rollout that names every variation: make it one")

    @property
    def split(self) -> dict[str, float]:
        """Variant -> percent."""
        return {self._name(one["variation"]): one["weight"] / A_PERCENT for one in self._weights}

    def serve(self, split: dict[str, float]) -> None:
        """Replace the weights, if they are still those that were read."""
        lacking = [name for name, share in split.items() if share and name not in self.split]
        if lacking:
            raise RefusalError(422, f"the flag has no variation {', '.join(lacking)}")
        path = f"/environments/{self._environment}/fallthrough/rollout/variations"
        tests = [
            {"op": "test", "path": f"{path}/{place}/weight", "value": one["weight"]}
            for place, one in enumerate(self._weights)
        ]
        replaced = [
            {"op": "replace", "path": f"{path}/{place}/weight", "value": round(split.get(name, 0) * A_PERCENT)}
            for place, name in enumerate(self._name(one["variation"]) for one in self._weights)
        ]
        _asked("PATCH", self._url, tests + replaced)

    def _name(self, place: int) -> str:
        variation = self._flag["variations"][place]
        return str(variation["value"] if isinstance(variation["value"], str) else variation.get("name"))


def _asked(method: str, url: str, body: object = None) -> Any:
    headers = {"Authorization": os.environ["LAUNCHDARKLY_TOKEN"], "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, headers, method=method), timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        wait = {"Retry-After": error.headers["Retry-After"]} if error.headers.get("Retry-After") else {}
        raise RefusalError(error.code, f"LaunchDarkly: {error.read(300).decode('utf-8', 'replace')}", wait) from None
    except OSError as error:
        raise RefusalError(502, f"LaunchDarkly cannot be reached: {type(error).__name__}") from None


def split_after(path: str, body: bytes) -> dict[str, float]:
    """What is served: for a read what it is, for a write (which has a body) what it is afterwards."""
    if not body:
        return Flag(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)).get("experiment")).split
    wanted = json.loads(body)["data"]
    flag = Flag(wanted["experiment"])
    if flag.split == wanted["split"]:
        return flag.split
    if flag.split != wanted.get("before", flag.split):
        raise RefusalError(409, f"something else is served: {flag.split}")
    flag.serve(wanted["split"])
    return Flag(wanted["experiment"]).split


def is_signed(headers: Any, body: bytes) -> bool:
    """Whether a message is signed by Standard Webhooks, and is not an old one that is sent again."""
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    at = headers.get("webhook-timestamp", "")
    signed = f"{headers.get('webhook-id', '')}.{at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    is_new = at.isdecimal() and abs(time.time() - int(at)) < OLDEST_SECONDS
    return is_new and any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


class Receiver(BaseHTTPRequestHandler):
    """Answers what is served."""

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(length), LONGEST_BODY)) if length.isdecimal() else b""
        extra: dict[str, str] = {}
        try:
            if not is_signed(self.headers, body):
                raise RefusalError(401, "not signed by WEBHOOK_SECRET within the last minutes")
            status, said = 200, json.dumps({"split": split_after(self.path, body)})
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


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=8090)
    ThreadingHTTPServer(("127.0.0.1", arguments.parse_args().port), Receiver).serve_forever()
