"""HTTP as `serve` speaks it: headers, time and open sockets have bounds.

uvicorn bounds the time between requests, not the time that a client takes over one. Whoever opens connections and says
nothing, or sends a byte now and then, would keep them, and everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_HEADER_BYTES = 32 * 1024
"""Of a request's line and headers together."""
REQUEST_SECONDS = 20.0
"""In which a request must have arrived whole, its body too, from the first byte or from the connection on."""
MOST_CONNECTIONS = 1_000
"""Open at a time; one more is answered 503."""


class BoundedProtocol(H11Protocol):
    """Closes a connection whose request is not there in time."""

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether a whole request is there."""
        super().data_received(data)
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._wait()
        else:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._rest()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between requests the keep-alive time counts."""
        self._rest()
        super().on_response_complete()

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            # Not `close`, which first sends what is buffered: a peer that reads nothing would keep that waiting.
            self.transport.abort()
