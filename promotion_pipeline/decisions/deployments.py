"""Deployments in live mode on one database: a second one with other thresholds is told of.

Both would decide and act: whichever looks first decides an hour, and which thresholds hold is left to chance.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from promotion_pipeline.config import Mode, Settings
from promotion_pipeline.store.database import Connection, Store

NOTED_EVERY = timedelta(minutes=10)
AT_WORK = timedelta(hours=2)
"""A deployment that has not looked for so long is taken to be gone."""
HANDOVER = timedelta(minutes=5)
"""How long an old and a new process of one deployment may be seen side by side."""
KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Deployment:
    """The thresholds of a deployment in live mode, and how long it has looked without a break."""

    id: str
    config: dict[str, Any]
    since: datetime
    seen_at: datetime

    def works_beside(self, other: Deployment) -> bool:
        """Whether both looked at the same time, longer than a handover takes."""
        return min(self.seen_at, other.seen_at) > max(self.since, other.since) + HANDOVER


def note_deployment(store: Store) -> str | None:
    """Keep that this deployment looked; a sentence about another one at work beside it, once.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if store.settings.mode is Mode.SHADOW:
        return None
    own = _id(store.settings)
    with store.connect() as connection:
        connection.execute(
            """
            INSERT INTO live_deployments AS known (id, config) VALUES (%(id)s, %(config)s)
            ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(),
                since = CASE WHEN known.seen_at < clock_timestamp() - %(gone)s THEN clock_timestamp()
                    ELSE known.since END,
                told_at = CASE WHEN known.seen_at < clock_timestamp() - %(gone)s THEN NULL ELSE known.told_at END
            WHERE known.seen_at < clock_timestamp() - %(every)s
            """,
            {"id": own, "config": Jsonb(_config(store.settings)), "gone": AT_WORK, "every": NOTED_EVERY},
        )
        connection.execute("DELETE FROM live_deployments WHERE seen_at < clock_timestamp() - %s", [KEPT])
        said = second_deployment(connection)
        if said is None:
            return None
        told = connection.execute(
            "UPDATE live_deployments SET told_at = clock_timestamp() WHERE id = %s AND told_at IS NULL RETURNING id",
            [own],
        ).fetchone()
    return None if told is None else said


def second_deployment(connection: Connection) -> str | None:
    """What is said where two deployments with different thresholds are at work; None: there is at most one."""
    rows = connection.execute(
        "SELECT id, config, since, seen_at FROM live_deployments"
        " WHERE seen_at > clock_timestamp() - %s ORDER BY since, id",
        [AT_WORK],
    ).fetchall()
    for one, other in itertools.combinations([Deployment(**row) for row in rows], 2):
        if one.works_beside(other):
            return (
                "two deployments in live mode act on this database with different thresholds:"
                f" {_difference(one.config, other.config)}; whichever looks first decides"
            )
    return None


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(f"{name} {json.dumps(one.get(name))} and {json.dumps(other.get(name))}" for name in names)


def _config(settings: Settings) -> dict[str, Any]:
    return settings.thresholds.to_json()


def _id(settings: Settings) -> str:
    text = json.dumps(_config(settings), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
