"""Pages of other origins: which of them may ask for flags. No other route answers to them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = ("Authorization", "Content-Type", "If-None-Match", "X-API-Key")
"""What clients of the protocol send."""
EXPOSED = ("ETag", "Retry-After", "Warning")
"""What they read besides the body."""
KEPT_SECONDS = 600
"""How long a browser need not ask again."""


class EvaluationOrigins:
    """CORS for the paths of evaluations; without credentials, for a token is sent by the page itself."""

    def __init__(self, app: ASGIApp, path: str, origins: Sequence[str]) -> None:
        self.app = app
        self.path = path
        self.open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("POST",),
            allow_headers=HEADERS,
            expose_headers=EXPOSED,
            max_age=KEPT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        is_evaluation = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{self.path}/")
        await (self.open if is_evaluation else self.app)(scope, receive, send)
