"""The frames of the evaluation: read from PostgreSQL in its form, written back one window at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.store.bulk import (
    Source,
    copy_frame,
    identifiers,
    ids_filter,
    read_frame,
    require_hours,
    time_literal,
)
from promotion_pipeline.store.clock import require_utc
from promotion_pipeline.store.coverage import SeenPhase, cover, seen_phases
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.labels import LATEST, RECORD, label_beside
from promotion_pipeline.store.rollup import COUNTS, IDS, ROLLUP_COLUMNS, ROLLUP_LOCK, SUMS
from promotion_pipeline.store.totals import rows_since_totals
from promotion_pipeline.store.users import KEYS, MOMENTS

FRAME_LOCK = 0x6672616D6573
"""Advisory lock of whoever replaces a window of a frame."""


@dataclass(frozen=True)
class WriteResult:
    """What `write_decisions` did."""

    recorded: int
    """Decisions about hours that had none: the decisions of record."""
    relabelled: int
    """Decisions about hours that were decided before, stored beside the record."""


def phase_overlaps(start: datetime | None, end: datetime) -> sql.Composable:
    """A condition that `phase` has an instant in [start, end)."""
    begun = sql.SQL("phase.started_at < {}").format(time_literal(end))
    if start is None:
        return begun
    return sql.SQL("{} AND coalesce(phase.ended_at, 'infinity') > {}").format(begun, time_literal(start))


def read_rollups(
    source: Source,
    start: datetime | None,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
    *,
    settled_before: datetime | None = None,
) -> pd.DataFrame:
    """The rollups before `end` of every phase that overlaps [start, end), back to the phase's start.

    Cumulative sums need the whole phase. Columns as `hourly_variant_rollups`; ids are categories of text.

    Args:
        settled_before: hours before it may be summed up already, one or two rows a variant (`rows_since_totals`).

    Raises:
        InputError: a time is naive, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    _require_window(start, end)
    if settled_before is not None:
        phases = sql.SQL("{} AND {}").format(
            phase_overlaps(start, end), ids_filter(sql.SQL("phase.experiment_id"), experiment_ids)
        )
        return read_frame(source, rows_since_totals(phases, stored_columns("rollup"), end, settled_before), IDS)
    query = sql.SQL(
        """
        SELECT {columns} FROM hourly_variant_rollups AS rollup
        JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
        WHERE rollup.hour < {end} AND {overlaps} AND {wanted}
        """
    ).format(
        columns=stored_columns("rollup"),
        end=time_literal(end),
        overlaps=phase_overlaps(start, end),
        wanted=ids_filter(sql.SQL("rollup.experiment_id"), experiment_ids),
    )
    return read_frame(source, query, IDS)


def stored_columns(alias: str) -> sql.Composed:
    """The columns of `hourly_variant_rollups`, ids as text."""
    keys = [sql.SQL("{}::text AS {}").format(sql.Identifier(alias, key), sql.Identifier(key)) for key in KEYS[1:]]
    rest = identifiers((*COUNTS, *SUMS, *MOMENTS, "newest_request_at"), alias)
    return sql.SQL(", ").join([sql.Identifier(alias, "hour"), *keys, rest])


def replace_rollups(
    store: Store,
    frame: pd.DataFrame,
    start: datetime,
    end: datetime,
    *,
    experiment_ids: Sequence[str] | None = None,
    seen: Sequence[SeenPhase] | None = None,
) -> int:
    """Make `frame` the rollups of [start, end) and mark its hours as rolled up; returns the rows written.

    Rollups of imported experiments stay, and rows about them in `frame` are left out. One transaction.
    To aggregate what is in the database already, `rollup_window` is the cheaper way.

    Args:
        experiment_ids: replace the rollups of these alone, and mark no hour.
        seen: the phases that were known when the requests of `frame` were read; None: those that are there now.

    Raises:
        InputError: the window is not of whole hours, a row lies outside it, or a column is missing or no number.
        DependencyError: the database cannot be reached.
    """
    _require_rows_in_window(frame, start, end)
    wanted = sql.SQL("experiment_id IN (SELECT id FROM ab_experiments WHERE rollup_source = 'requests') AND {}").format(
        ids_filter(sql.SQL("experiment_id"), experiment_ids)
    )
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        cover(connection, seen_phases(connection, start, end, experiment_ids) if seen is None else seen, start, end)
        names = copy_frame(connection, "hourly_variant_rollups", frame, "incoming")
        rows = _swap(connection, "hourly_variant_rollups", names, start, end, wanted)
        if experiment_ids is None:
            connection.execute(
                """
                INSERT INTO rollup_hours (hour, requests)
                SELECT hour, coalesce(sum(requests), 0)
                FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 hour', '1 hour') AS hour
                LEFT JOIN incoming USING (hour)
                GROUP BY hour
                ON CONFLICT (hour) DO UPDATE SET rolled_up_at = now(), requests = excluded.requests
                """,
                (start, end),
            )
    return rows


def replace_metrics(
    store: Store, frame: pd.DataFrame, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> int:
    """Make `frame` the `variant_metrics` of the hours in [start, end); returns the rows written.

    Args:
        experiment_ids: replace only the rows of these experiments.

    Raises:
        InputError: the window is not of whole hours, a row lies outside it, or a column is missing or of another type.
        DependencyError: the database cannot be reached.
    """
    return _replace(store, "variant_metrics", frame, start, end, experiment_ids)


def replace_significance(
    store: Store, frame: pd.DataFrame, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> int:
    """Make `frame` the `significance_results` of the hours in [start, end); as `replace_metrics`."""
    return _replace(store, "significance_results", frame, start, end, experiment_ids)


def _replace(
    store: Store, table: str, frame: pd.DataFrame, start: datetime, end: datetime, experiment_ids: Sequence[str] | None
) -> int:
    _require_rows_in_window(frame, start, end)
    wanted = ids_filter(sql.SQL("experiment_id"), experiment_ids)
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (FRAME_LOCK,))
        names = copy_frame(connection, table, frame, "incoming")
        return _swap(connection, table, names, start, end, wanted)


def _swap(
    connection: psycopg.Connection[Any],
    table: str,
    names: Sequence[str],
    start: datetime,
    end: datetime,
    condition: sql.Composable,
) -> int:
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE hour >= {} AND hour < {} AND {}").format(
            sql.Identifier(table), time_literal(start), time_literal(end), condition
        )
    )
    return connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM incoming WHERE {}").format(
            sql.Identifier(table), identifiers(names), identifiers(names), condition
        )
    ).rowcount


def write_decisions(
    store: Store,
    frame: pd.DataFrame,
    label: str | None = None,
    *,
    may_record: bool = True,
    decided_only: bool = False,
    made_by: MadeBy = MadeBy.PERSON,
    record: str = RECORD,
    within: Callable[[psycopg.Connection[Any], WriteResult], None] | None = None,
) -> WriteResult:
    """Record the decisions about hours that have none; store the others beside their record, under `label`.

    A decision of record is never rewritten; under another label the newest one stays. One transaction.

    Args:
        label: name of a re-evaluation, default 'latest'.
        may_record: False stores every decision under the label, so that a question about other thresholds
            never becomes the decision of record of an hour that has none yet.
        decided_only: leave out decisions about hours that have no record.
        made_by: kept with each decision: only some may lead to a promotion.
        record: label of the first decisions, `record_label`.
        within: called in the transaction after the rows are written.

    Raises:
        InputError: the label is reserved or empty, or a column is missing or of another type.
        DependencyError: the database cannot be reached.
    """
    beside = label_beside(label, record)
    given = frame.drop(columns=[name for name in ("label", "decided_at", "made_by") if name in frame.columns])
    with store.connect() as connection, connection.transaction():
        # Whoever comes second must see the record of the first.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (FRAME_LOCK,))
        # A table that was empty when it was last analyzed is taken for empty, and scanned anew for each row.
        connection.execute("SET LOCAL enable_nestloop = off")
        names = copy_frame(connection, "eligibility_decisions", given, "incoming")
        recorded = 0
        insert = partial(_insert_decisions, connection, names, made_by, record)
        relabelled = insert(beside, decided_before=True)
        if not may_record and not decided_only:
            relabelled += insert(beside, decided_before=False)
        elif not decided_only:
            recorded = insert(record, decided_before=False)
        written = WriteResult(recorded=recorded, relabelled=relabelled)
        if within is not None:
            within(connection, written)
    return written


def _insert_decisions(
    connection: psycopg.Connection[Any],
    names: Sequence[str],
    made_by: MadeBy,
    record: str,
    label: str,
    *,
    decided_before: bool,
) -> int:
    span = connection.execute("SELECT min(hour) AS first, max(hour) AS last FROM incoming").fetchone()
    if span is None or span["first"] is None:
        return 0
    values = [name for name in names if name not in {"hour", "experiment_id"}]
    replacement = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values)
    conflict = sql.SQL("DO UPDATE SET {}, decided_at = now(), made_by = excluded.made_by").format(replacement)
    return connection.execute(
        sql.SQL(
            """
            INSERT INTO eligibility_decisions ({names}, label, made_by)
            SELECT {names}, {label}, {made_by} FROM incoming
            WHERE {exists} (
                SELECT 1 FROM eligibility_decisions AS decided
                WHERE decided.hour = incoming.hour AND decided.experiment_id = incoming.experiment_id
                    AND decided.label = {record} AND decided.hour BETWEEN {first} AND {last})
            ON CONFLICT (hour, experiment_id, label) {conflict}
            """
        ).format(
            names=identifiers(names),
            label=sql.Literal(label),
            made_by=sql.Literal(made_by.value),
            record=sql.Literal(record),
            # Says it once more, in literals: otherwise all hours that were ever decided are read.
            first=time_literal(span["first"]),
            last=time_literal(span["last"]),
            exists=sql.SQL("EXISTS" if decided_before else "NOT EXISTS"),
            conflict=sql.SQL("DO NOTHING") if label == record else conflict,
        )
    ).rowcount


def _require_window(start: datetime | None, end: datetime) -> None:
    for name, at in (("start", start), ("end", end)):
        if at is not None:
            require_utc(at, name)


def _require_rows_in_window(frame: pd.DataFrame, start: datetime, end: datetime) -> None:
    require_hours(start, end)
    if "hour" not in frame.columns:
        raise InputError(f"the frame lacks the column 'hour'; it has {list(frame.columns)}")
    if len(frame) == 0:
        return
    if not isinstance(frame["hour"].dtype, pd.DatetimeTZDtype):
        raise InputError(f"column hour is {frame['hour'].dtype}: it must be times with a time zone")
    first, last = frame["hour"].min(), frame["hour"].max()
    if first < pd.Timestamp(start) or last >= pd.Timestamp(end):
        raise InputError(
            f"rows from {first} to {last} lie outside the window from {start.isoformat()} to {end.isoformat()}"
        )


__all__ = [
    "LATEST",
    "RECORD",
    "ROLLUP_COLUMNS",
    "WriteResult",
    "read_rollups",
    "replace_metrics",
    "replace_rollups",
    "replace_significance",
    "write_decisions",
]
