"""What people are to be told, written in the transaction of the act."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

Level = Literal["info", "warning", "critical"]


RUN_ID = "dagster_run_id"
_run_id: ContextVar[str | None] = ContextVar("run_id", default=None)


@contextlib.contextmanager
def acting_in_run(run_id: str) -> Iterator[None]:
    """Let the notifications of acts in this context name the Dagster run that did them."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


def enqueue(
    connection: psycopg.Connection[Any],
    event: str,
    level: Level,
    experiment_id: UUID | str | None,
    promotion_id: UUID | str | None,
    dedup_key: str,
    payload: Mapping[str, Any],
) -> bool:
    """Put a notification in the outbox; False if one with this `dedup_key` is there already.

    Call it inside the transaction of the act, so that neither happens without the other.
    """
    run_id = _run_id.get()
    full = {**({RUN_ID: run_id} if run_id else {}), **payload}
    cursor = connection.execute(
        """
        INSERT INTO notification_outbox (event, level, experiment_id, promotion_id, dedup_key, payload)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (dedup_key) DO NOTHING
        """,
        (event, level, experiment_id, promotion_id, dedup_key, Jsonb(full)),
    )
    return cursor.rowcount == 1
