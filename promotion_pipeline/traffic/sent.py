"""Ids of requests that were sent, so that one sent again changes nothing; forgotten after 35 days.

Not here: the requests themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from datetime import datetime

import psycopg
from psycopg import sql

from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.rows import RequestRow

_SQL = statements(__file__)
FORGET_SECONDS = 10.0
"""Between two looks for ids that are old: each reads what was sent in the last minute."""
FORGOTTEN_AT_LEAST = 20_000
"""Ids that one look may forget; more where more were sent, so that the table does not grow faster than it shrinks."""
_since: dict[str, tuple[float, int]] = {}
"""Database -> when ids of it were forgotten last, and how many were sent since."""


def remember(connection: Connection, rows: Mapping[str, RequestRow], now: datetime) -> Set[str] | None:
    """Note requests as sent; returns those that were not before. None: all of them.

    Most batches hold new requests only: then nothing is read back, which takes as long as writing.
    """
    # In one order for everybody: two batches with the same ids would wait for each other otherwise.
    ids = sorted(rows)
    statement, noted = _noted(ids, rows, now)
    with connection.transaction() as attempt:
        if connection.execute(statement, noted).rowcount == len(ids):
            return None
        raise psycopg.Rollback(attempt)
    return {row["id"] for row in connection.execute(statement + sql.SQL(" RETURNING id::text AS id"), noted)}


def forget(connection: Connection, database: str, sent: int) -> None:
    """Forget old ids where it was not done just now.

    Args:
        database: its URL.
        sent: how many requests were sent with this batch.
    """
    at, before = _since.get(database, (float("-inf"), 0))
    sent += before
    if time.monotonic() - at < FORGET_SECONDS:
        _since[database] = at, sent
        return
    _since[database] = time.monotonic(), 0
    connection.execute(_SQL["forget_old_requests"], {"most": max(2 * sent, FORGOTTEN_AT_LEAST)})


def _noted(ids: list[str], rows: Mapping[str, RequestRow], now: datetime) -> tuple[sql.SQL, dict[str, object]]:
    """The statement, and its parameters as texts: 10,000 objects take the driver longer than the server to store."""
    times = [row.created_at for row in map(rows.__getitem__, ids)]
    given: dict[str, object] = {"ids": ",".join(ids)}
    if not any(times):
        return _SQL["remember_requests_of_now"], given | {"time": now}
    return _SQL["remember_requests"], given | {"times": ",".join((at or now).isoformat() for at in times)}
