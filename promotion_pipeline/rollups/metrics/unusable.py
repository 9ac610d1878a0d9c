"""Values of events that no sum can hold: they are left out of it, counted, and named by their metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row, tuple_row

from promotion_pipeline.rollups.metrics.readable import events_problem
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount

_SQL = statements(__file__)


@dataclass(frozen=True)
class UnusableEvents:
    """Events of one metric that count, and whose values were left out of its sums."""

    phase_id: UUID
    experiment_name: str
    metric: str
    values: int


def unusable_event_values(
    connection: psycopg.Connection[Any], phase_ids: Sequence[UUID], since: datetime | None, until: datetime
) -> tuple[UnusableEvents, ...]:
    """What of these phases was left out, the most first; O(events of their metrics). Nothing where none can be read.

    Args:
        since: None: from the start of each phase.
    """
    if not phase_ids or events_problem(connection) is not None:
        return ()
    query = _SQL["unusable"].format(amount=amount(sql.SQL("event.value"), "numeric"))
    with connection.cursor(row_factory=class_row(UnusableEvents)) as cursor:
        given = {"ids": list(phase_ids), "since": since or "-infinity", "until": until}
        return tuple(cursor.execute(query, given).fetchall())


def unusable_events_since(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> tuple[UnusableEvents, ...]:
    """The same of every running experiment."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        ids = [row[0] for row in cursor.execute(_SQL["open_phases"]).fetchall()]
    return unusable_event_values(connection, ids, since, until)
