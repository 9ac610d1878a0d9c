"""Batches of requests and events into the database: one transaction each, by COPY, idempotent by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.rollups.opening import log_name
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.directory import look_up
from promotion_pipeline.traffic.incoming import IncomingBatch, IncomingOutcome, Taken
from promotion_pipeline.traffic.lines import EVENT_COLUMNS, REQUEST_COLUMNS, event_line, request_line
from promotion_pipeline.traffic.rows import EventRow, RequestRow
from promotion_pipeline.traffic.sent import forget, remember

SQL = statements(__file__)
OWN_LOG = "ai_requests"
LINES_AT_ONCE = 1_000
_OUTCOMES = ("converted", "is_error", "latency_ms", "value")

_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)

_Row = TypeVar("_Row", RequestRow, EventRow)


def take_requests(store: Store, batch: IncomingBatch[RequestRow]) -> Taken:
    """Write requests to `ai_requests`.

    Raises:
        ConflictError: requests are read from somewhere else, or the table is the team's own and does not take them.
        DependencyError: the database cannot be reached.
    """
    require_own_log(store)
    with store.connect() as connection, connection.transaction():
        known = look_up(connection, batch.rows.values(), are_requests=True)
        batch.keep(known.unusable)
        first = _first_of_each_id(batch.rows)
        new = remember(connection, first, known.now)
        rows = first.values() if new is None else [first[key] for key in new]
        now = known.now.isoformat()
        _copy(connection, OWN_LOG, REQUEST_COLUMNS, (request_line(row, known.places, now) for row in rows))
        forget(connection, store.url, len(rows))
    return _taken(batch, len(rows))


def take_events(store: Store, batch: IncomingBatch[EventRow]) -> Taken:
    """Write events to `ai_events`.

    Raises:
        ConflictError: the table is the team's own and does not take them.
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection, connection.transaction():
        known = look_up(connection, batch.rows.values(), are_requests=False)
        batch.keep(known.unusable)
        first = _first_of_each_id(batch.rows)
        there = _ids(connection, "known_events", ids=",".join(first))
        now = known.now.isoformat()
        lines = (event_line(row, known.places, now) for key, row in first.items() if key not in there)
        connection.execute(SQL["make_arriving_events"])
        _copy(connection, "arriving_events", EVENT_COLUMNS, lines)
        # Another batch may have brought the same ids since.
        new = _ids(connection, "keep_arriving_events")
    return _taken(batch, len(new))


def take_outcomes(store: Store, batch: IncomingBatch[IncomingOutcome]) -> Taken:
    """Write what became of requests that were sent before to their rows.

    Raises:
        ConflictError: requests are read from somewhere else, or the table is the team's own and does not take them.
        DependencyError: the database cannot be reached.
    """
    require_own_log(store)
    with store.connect() as connection, connection.transaction():
        ids = sorted({row.request_id for row in batch.rows.values()})
        there = _ids(connection, "known_requests", ids=ids)
        batch.keep(
            lambda row: (
                None
                if row.request_id in there
                else f"requestId {row.request_id}: no request was sent with this id in the last 35 days"
            )
        )
        merged = _merged(batch.rows.values())
        try:
            changed = _ids(
                connection,
                "write_outcomes",
                ids=sorted(merged),
                converted=[merged[key].converted for key in sorted(merged)],
                errors=[merged[key].is_error for key in sorted(merged)],
                latencies=[merged[key].latency_ms for key in sorted(merged)],
                values=[merged[key].value for key in sorted(merged)],
            )
        except _REFUSALS as error:
            raise _not_taken(OWN_LOG, error) from None
    return _taken(batch, len(changed))


def require_own_log(store: Store) -> None:
    """Refuse requests that nothing would ever read.

    Raises:
        ConflictError: the log is somewhere else.
        ConfigError: the configuration of the log is wrong.
    """
    name = log_name(store.settings)
    if name != OWN_LOG:
        raise ConflictError(f"requests are read from {name}, which AUTO_PROMOTION_SOURCE names: log them there")


def _merged(rows: Iterable[IncomingOutcome]) -> dict[UUID, IncomingOutcome]:
    """What several outcomes of one request say together; the later one where they differ."""
    merged: dict[UUID, IncomingOutcome] = {}
    for row in rows:
        said = {name: value for name in _OUTCOMES if (value := getattr(row, name)) is not None}
        merged[row.request_id] = merged.get(row.request_id, row).model_copy(update=said)
    return merged


def _taken(batch: IncomingBatch[Any], changed: int) -> Taken:
    rejections = sorted(batch.rejections, key=lambda rejection: rejection.row)
    return Taken(changed, len(batch.rows) - changed, rejections)


def _first_of_each_id(rows: Mapping[int, _Row]) -> dict[str, _Row]:
    """Of two rows with one id the first counts, as if the second were sent again."""
    first: dict[str, _Row] = {}
    for row in rows.values():
        first.setdefault(row.id, row)
    return first


def _ids(connection: Connection, statement: str, **parameters: object) -> set[Any]:
    return {row["id"] for row in connection.execute(SQL[statement], parameters)}


def _copy(connection: Connection, table: str, columns: Sequence[str], lines: Iterator[str]) -> None:
    """Copy rows into a table: the server stores some while the next are made.

    Raises:
        ConflictError: the table, which may be the team's own, does not take them.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            while part := "".join(islice(lines, LINES_AT_ONCE)):
                copy.write(part)
    except _REFUSALS as error:
        raise _not_taken(table, error) from None


def _not_taken(table: str, error: psycopg.Error) -> ConflictError:
    said = " ".join(str(error.diag.message_primary or error).split())
    way_on = "it is a table of your own, write them there yourself"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        way_on = f"let its owner GRANT SELECT, INSERT, UPDATE ON {table} TO the role that serve runs as"
    return ConflictError(f"{table} does not take the rows as they are sent ({said}): {way_on}")
