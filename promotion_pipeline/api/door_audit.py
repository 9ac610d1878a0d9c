"""The append-only list of writes that were asked for over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.store.database import Store


@dataclass(frozen=True)
class DoorRecord:
    """One write, done or refused."""

    request_id: str
    actor: str
    role: str
    token_id: UUID | None
    method: str
    route: str
    experiment_name: str | None
    claims: Mapping[str, Any]
    status: int
    code: str | None


def append(store: Store, record: DoorRecord) -> None:
    """Write one record.

    Raises:
        DependencyError: the database is down.
    """
    values = {**vars(record), "claims": Jsonb(dict(record.claims))}
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO api_audit (request_id, actor, role, token_id, method, route, experiment_name, claims, status,"
            " code) VALUES (%(request_id)s, %(actor)s, %(role)s, %(token_id)s, %(method)s, %(route)s,"
            " %(experiment_name)s, %(claims)s, %(status)s, %(code)s)",
            values,
        )
