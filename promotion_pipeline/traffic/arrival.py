"""Batches of requests and events into the database: one transaction each, by COPY, idempotent by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.rollups.opening import log_name
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.incoming import (
    IncomingBatch,
    IncomingEvent,
    IncomingOutcome,
    IncomingRequest,
    Taken,
    outside_time,
)

SQL = statements(__file__)
OWN_LOG = "ai_requests"
_REQUEST_COLUMNS = (
    "id",
    "experiment_id",
    "variant_id",
    "user_id",
    "created_at",
    "latency_ms",
    "is_error",
    "converted",
    "value",
)
_OUTCOMES = ("converted", "is_error", "latency_ms", "value")
_EVENT_COLUMNS = ("id", "experiment_id", "user_id", "created_at", "name", "value")


@dataclass(frozen=True)
class _Directory:
    """The experiments and variants that a batch names, and the database's clock."""

    now: datetime
    dropped_before: datetime | None
    experiments: Mapping[str, UUID]
    """Name, or id as text -> id."""
    variants: Mapping[tuple[UUID, str], UUID]
    """Experiment and name, or id as text -> id."""


def take_requests(store: Store, batch: IncomingBatch[IncomingRequest]) -> Taken:
    """Write requests to `ai_requests`.

    Raises:
        ConflictError: requests are read from somewhere else, or the table is the team's own and does not take them.
        DependencyError: the database cannot be reached.
    """
    require_own_log(store)
    with store.connect() as connection, connection.transaction():
        known = _directory(connection, batch.rows.values())
        batch.keep(lambda row: _unknown(row, known) or _unknown_variant(row, known))
        first = _first_of_each_id(batch.rows)
        created = {key: row.created_at or known.now for key, row in first.items()}
        # In one order for everybody: two batches with the same ids would wait for each other otherwise.
        ids = sorted(created, key=_number)
        new = _remembered(connection, ids, created)
        rows = (_request_values(first[key], created[key], known) for key in ids if key in new)
        _copy(connection, OWN_LOG, _REQUEST_COLUMNS, rows)
        connection.execute(SQL["forget_old_requests"])
    return _taken(batch, len(new))


def take_events(store: Store, batch: IncomingBatch[IncomingEvent]) -> Taken:
    """Write events to `ai_events`.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection, connection.transaction():
        known = _directory(connection, batch.rows.values())
        batch.keep(lambda row: _unknown(row, known))
        first = _first_of_each_id(batch.rows)
        ids = sorted(first, key=_number)
        there = _ids(connection, "known_events", ids=ids)
        _copy(
            connection,
            "arriving_events",
            _EVENT_COLUMNS,
            (_event_values(first[key], known) for key in ids if key not in there),
            before=SQL["make_arriving_events"],
        )
        # Another batch may have brought the same ids since.
        new = _ids(connection, "keep_arriving_events")
    return _taken(batch, len(new))


def take_outcomes(store: Store, batch: IncomingBatch[IncomingOutcome]) -> Taken:
    """Write what became of requests that were sent before to their rows.

    Raises:
        ConflictError: requests are read from somewhere else.
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
        changed = _ids(
            connection,
            "write_outcomes",
            ids=sorted(merged),
            converted=[merged[key].converted for key in sorted(merged)],
            errors=[merged[key].is_error for key in sorted(merged)],
            latencies=[merged[key].latency_ms for key in sorted(merged)],
            values=[merged[key].value for key in sorted(merged)],
        )
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


def _remembered(connection: Connection, ids: Sequence[UUID], created: Mapping[UUID, datetime]) -> Set[UUID]:
    """Note requests as sent; returns those that were not before.

    Most batches hold new requests only: then nothing is read back, which takes as long as writing.
    """
    # As texts: an array of 10,000 objects takes the driver longer than the server takes to store them.
    noted = {"ids": ",".join(map(str, ids)), "times": ",".join(created[key].isoformat() for key in ids)}
    with connection.transaction() as attempt:
        if connection.execute(SQL["remember_requests"], noted).rowcount == len(ids):
            return created.keys()
        raise psycopg.Rollback(attempt)
    statement = SQL["remember_requests"] + sql.SQL(" RETURNING id")
    return {row["id"] for row in connection.execute(statement, noted)}


def _number(key: UUID) -> int:
    return key.int


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


def _directory(connection: Connection, rows: Iterable[IncomingRequest | IncomingEvent]) -> _Directory:
    names = {row.experiment for row in rows if row.experiment is not None}
    ids = {row.experiment_id for row in rows if row.experiment_id is not None}
    found = connection.execute(
        SQL["named_experiments"], {"names": sorted(names), "ids": [str(key) for key in sorted(ids)]}
    ).fetchall()
    clock = connection.execute(SQL["clock"]).fetchone()
    assert clock is not None
    experiments: dict[str, UUID] = {}
    variants: dict[tuple[UUID, str], UUID] = {}
    for row in found:
        experiments |= {row["name"]: row["id"], str(row["id"]): row["id"]}
        if row["variant_id"] is not None:
            for key in (row["variant_name"], str(row["variant_id"])):
                variants[row["id"], key] = row["variant_id"]
    return _Directory(clock["now"], clock["dropped_before"], experiments, variants)


def _unknown(row: IncomingRequest | IncomingEvent, known: _Directory) -> str | None:
    key = row.experiment if row.experiment is not None else str(row.experiment_id)
    if key not in known.experiments:
        return f"there is no experiment {key!r}"
    return outside_time(row.created_at, known.now, known.dropped_before)


def _unknown_variant(row: IncomingRequest, known: _Directory) -> str | None:
    experiment = _experiment_of(row, known)
    key = row.variant if row.variant is not None else str(row.variant_id)
    if (experiment, key) in known.variants:
        return None
    return f"the experiment has no variant {key!r}"


def _experiment_of(row: IncomingRequest | IncomingEvent, known: _Directory) -> UUID:
    return known.experiments[row.experiment if row.experiment is not None else str(row.experiment_id)]


def _first_of_each_id(rows: Mapping[int, Any]) -> dict[UUID, Any]:
    """Of two rows with one id the first counts, as if the second were sent again."""
    return {row.id: row for row in reversed(list(rows.values()))}


def _request_values(row: IncomingRequest, created_at: datetime, known: _Directory) -> Sequence[object]:
    experiment = _experiment_of(row, known)
    variant = known.variants[experiment, row.variant if row.variant is not None else str(row.variant_id)]
    return (
        row.id,
        experiment,
        variant,
        row.user_id,
        created_at,
        row.latency_ms,
        row.is_error,
        row.converted,
        row.value,
    )


def _event_values(row: IncomingEvent, known: _Directory) -> Sequence[object]:
    return row.id, _experiment_of(row, known), row.user_id, row.created_at or known.now, row.name, row.value


def _ids(connection: Connection, statement: str, **parameters: object) -> set[UUID]:
    return {row["id"] for row in connection.execute(SQL[statement], parameters)}


def _copy(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    before: sql.SQL | None = None,
) -> None:
    """Copy rows into a table.

    Raises:
        ConflictError: the table, which may be the team's own, does not take them.
    """
    if before is not None:
        connection.execute(before)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        said = " ".join(str(error.diag.message_primary or error).split())
        raise ConflictError(
            f"{table} does not take the rows as they are sent ({said}): it is a table of your own, write them there"
            " yourself"
        ) from None
