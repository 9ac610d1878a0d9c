"""What people are to be told, written in the transaction of the act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

Level = Literal["info", "warning", "critical"]


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
    cursor = connection.execute(
        """
        INSERT INTO notification_outbox (event, level, experiment_id, promotion_id, dedup_key, payload)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (dedup_key) DO NOTHING
        """,
        (event, level, experiment_id, promotion_id, dedup_key, Jsonb(dict(payload))),
    )
    return cursor.rowcount == 1
