"""Whether requests can be served, found out within two seconds whatever the database does.

It shares nothing with the other routes: their threads and connections may all be waiting for a database that stalls.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import psycopg

from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.store.connection import cannot_reach
from promotion_pipeline.store.database import Store

if TYPE_CHECKING:
    from promotion_pipeline.store.embedded.server import EmbeddedServer

ANSWER_SECONDS = 1.5
"""Until the probe is given up; what calls it has two seconds."""
MOST_GIVEN_UP = 3
"""Questions that may still wait for the server: each holds a connection until the driver lets go."""
# The table that every request reads: while somebody holds a lock on it, no request is served.
_PROBE = """
    SELECT (SELECT count(*) FROM (SELECT FROM api_tokens LIMIT 1) AS a),
        (SELECT count(*) FROM (SELECT FROM ab_experiments LIMIT 1) AS b),
        (SELECT count(*) FROM (SELECT FROM ab_variants LIMIT 1) AS c),
        (SELECT count(*) FROM (SELECT FROM experiment_promotions LIMIT 1) AS d)
"""


class HealthProbe:
    """One look at the database at a time, however many ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looking: asyncio.Task[None] | None = None
        self._given_up: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """Return if the database answers.

        Raises:
            DependencyError: it does not, or not in time.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        # Callers share one look at the database; one that goes away must not cancel it for the others.
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        if len(self._given_up) >= MOST_GIVEN_UP:
            raise DependencyError("the database does not answer: earlier questions are still waiting for it")
        asking = asyncio.create_task(self._ask())
        # Not `wait_for`: it waits until what it cancels has ended, and the driver waits for the server that is down.
        done, _ = await asyncio.wait({asking}, timeout=ANSWER_SECONDS)
        if not done:
            self._give_up(asking)
            raise DependencyError(
                f"the database did not answer within {ANSWER_SECONDS:g} seconds: it stalls, or a lock is held on its"
                " tables"
            )
        try:
            asking.result()
        except (psycopg.Error, OSError) as error:
            self._revive()
            raise cannot_reach(self._store.url, error) from None

    def _give_up(self, asking: asyncio.Task[None]) -> None:
        self._given_up.add(asking)
        asking.add_done_callback(self._has_ended)
        asking.cancel()

    def _has_ended(self, asking: asyncio.Task[None]) -> None:
        self._given_up.discard(asking)
        if not asking.cancelled():
            # The exception is fetched, or asyncio would log that it never was.
            asking.exception()

    async def _ask(self) -> None:
        # A new connection: a pooled one may lead to a server that is gone, which shows only after a time-out.
        connection = await psycopg.AsyncConnection.connect(self._store.url, autocommit=True)
        try:
            await connection.execute(_PROBE)
        finally:
            with contextlib.suppress(psycopg.Error):
                await connection.close()

    def _revive(self) -> None:
        """Start the embedded server again: nobody else will, as long as this says that it is down."""
        server = self._store.server
        if server is not None:
            threading.Thread(target=_started, args=(server,), daemon=True).start()


def _started(server: EmbeddedServer) -> None:
    with contextlib.suppress(PromotionError):
        server.start()
