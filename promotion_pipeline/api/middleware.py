"""What every request passes, whatever its route: an id, a size limit, one line in the log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promotion_pipeline.api.problems import Problem, problem_of, response_of

BODY_LIMIT_BYTES = 64 * 1024
REQUEST_ID_HEADER = "X-Request-ID"
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_ID = 64

logger = logging.getLogger("promotion_pipeline.api.access")


def clean_request_id(given: str | None) -> str:
    """A caller's request id without what could forge a line of the log; a new one if nothing is left."""
    return _NOT_IN_AN_ID.sub("", given or "")[:_LONGEST_ID] or secrets.token_hex(16)


class RequestContext:
    """Gives the request its id, answers what nobody caught, writes the line of the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["request_id"] = clean_request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
        # The scope is copied on the way to a route, its `state` is shared: what the route sets is seen here.
        state = scope.setdefault("state", {})
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            if status:
                raise
            await response_of(Request(scope), problem_of(error))(scope, receive, send_with_id)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            # Without the query string, which may hold secrets.
            path = scope.get("raw_path", b"").decode("ascii", "replace").partition("?")[0]
            actor = getattr(state.get("principal"), "actor", "-")
            logger.info("%s %s %s %d %.1fms %r", request_id, scope["method"], path, status, milliseconds, actor)


class BodyLimit:
    """Refuses bodies above the limit: by their declared length at once, without one as soon as they pass it."""

    def __init__(
        self, app: ASGIApp, limit_bytes: int = BODY_LIMIT_BYTES, larger: Mapping[str, int] | None = None
    ) -> None:
        """
        Args:
            app: what is behind it.
            limit_bytes: of a body.
            larger: path -> bytes, where a body may be larger.
        """
        self.app = app
        self.limit = limit_bytes
        self.larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.limit)
        sentence = f"the body is larger than {limit} bytes"
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            problem = Problem(413, "body-too-large", sentence, headers={"Connection": "close"})
            await response_of(Request(scope), problem)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # An HTTPException passes through FastAPI's reading of the body as it is.
                raise HTTPException(413, sentence, {"Connection": "close"})
            return message

        await self.app(scope, receive_limited, send)
