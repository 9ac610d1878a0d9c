"""One HTTP exchange with a target: time limits, and every way that it can go wrong as one error."""

from __future__ import annotations

import functools
import json
import ssl
import time
from typing import Any

import httpx2

from promotion_pipeline.errors import TargetError
from promotion_pipeline.text.retry_after import seconds_of

ANSWER_SECONDS = 8.0
"""For each of connecting, sending and reading: an attempt ends well within a minute."""
WHOLE_ANSWER_SECONDS = 20.0
"""For all of an answer: one that comes drop by drop ends an attempt too."""
LONGEST_ANSWER = 5_000_000
LONGEST_QUOTE = 200
_PERSON = {
    401: "the token is not accepted: set a valid one",
    403: "the token may not do it, or change requests are on for this environment: give it the right, or let it bypass",
    404: "what the experiment's traffic_target names is not there: correct it, or make the flag anew",
    410: "what the experiment's traffic_target names is gone: correct it",
}
"""Answers that waiting does not change, and what to do about each."""


class Exchange:
    """A client of one target; `name` stands in every message, in the place of an address that may hold a secret."""

    def __init__(self, name: str, headers: dict[str, str] | None = None) -> None:
        self._name = name
        self._secrets = [value for key, value in (headers or {}).items() if key.lower() == "authorization"]
        self._client = httpx2.Client(
            timeout=ANSWER_SECONDS, headers=headers, follow_redirects=False, verify=_certificates()
        )

    def json(
        self, method: str, url: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """The answer's JSON; None where it has no body.

        Raises:
            TargetError: no answer, one that says no, or one that is no JSON.
        """
        deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
        try:
            with self._client.stream(method, url, content=content, headers=headers) as response:
                body = self._body(response, deadline)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TargetError(
                f"{self._name} cannot be reached ({type(error).__name__}): is it up?", is_silent=True
            ) from None
        if not response.is_success:
            raise self._refusal(response, body)
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except ValueError:
            raise TargetError(f"{self._name} answered something that is no JSON", needs_a_person=True) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _body(self, response: httpx2.Response, deadline: float) -> bytes:
        parts, length = [], 0
        for part in response.iter_bytes():
            length += len(part)
            if time.monotonic() > deadline:
                raise TargetError(
                    f"{self._name} did not answer within {WHOLE_ANSWER_SECONDS:g} s: is it well?", is_silent=True
                )
            if length > LONGEST_ANSWER:
                raise TargetError(f"{self._name} answered more than {LONGEST_ANSWER} bytes", needs_a_person=True)
            parts.append(part)
        return b"".join(parts)

    def _refusal(self, response: httpx2.Response, body: bytes) -> TargetError:
        status = response.status_code
        quote = " ".join(body.decode("utf-8", "replace").split())[:LONGEST_QUOTE]
        for secret in self._secrets:
            quote = quote.replace(secret, "***")
        remedy = f"; {_PERSON[status]}" if status in _PERSON else ""
        said = f": {quote}" if quote else ""
        return TargetError(
            f"{self._name} answered HTTP {status}{said}{remedy}",
            retry_after_seconds=seconds_of(response.headers),
            needs_a_person=status in _PERSON or status in (400, 422),
        )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once: a thousand read-backs open a thousand clients."""
    return httpx2.create_ssl_context()
