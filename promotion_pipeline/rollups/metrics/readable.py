"""Whether `ai_events` can be read as it must be: it is the team's to rename, to replace and to grant.

Where it cannot, metrics of events are not measured and everything else goes on: users are still noted as they come,
and the events of the time between are found when it can be read again (`unnoted`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from promotion_pipeline.rollups.metrics.definitions import PhaseMetrics
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

TEXTS = frozenset({"text", "character varying", "citext"})
NUMBERS = frozenset({"numeric", "double precision", "real", "bigint", "integer", "smallint"})
COLUMNS = {
    "experiment_id": frozenset({"uuid"}),
    "user_id": TEXTS,
    "created_at": frozenset({"timestamp with time zone"}),
    "name": TEXTS,
    "value": NUMBERS,
}


def states_events(phases: Iterable[PhaseMetrics]) -> bool:
    """Whether a metric of these phases is made of events."""
    return any(metric.event is not None for phase in phases for metric in phase.metrics)


def events_problem(connection: psycopg.Connection[Any]) -> str | None:
    """Why `ai_events` cannot be read, and what to do; None: it can. O(1); ask where metrics of events are stated."""
    try:
        with connection.transaction(), connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            found: dict[str, str] = dict(cursor.execute(_SQL["types"]).fetchall())
            said = _said(found)
            if said is None:
                cursor.execute(_SQL["probe"])
            return said
    except psycopg.errors.InsufficientPrivilege:
        return "it may not be read: GRANT SELECT ON ai_events TO the role of this product"
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as error:
        return f"it cannot be read: {' '.join(str(error).split())}"


def _said(found: dict[str, str]) -> str | None:
    if not found:
        return "there is no such table: name it so again, or make it anew as docs/reference/schema.sql has it"
    for name, types in COLUMNS.items():
        if name not in found:
            return f"it has no column {name!r}: name it so again"
        if found[name] not in types:
            return f"its column {name!r} is {found[name]}, and must be {' or '.join(sorted(types))}"
    return None


@contextlib.contextmanager
def planned_anew(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """No statement is used that was prepared before a temporary table hid another: it would read the hidden one."""
    before, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        yield
    finally:
        connection.prepare_threshold = before


def hide_events(connection: psycopg.Connection[Any]) -> None:
    """For the rest of the transaction there is no event; call it within `planned_anew`."""
    connection.execute(_SQL["hide"])
