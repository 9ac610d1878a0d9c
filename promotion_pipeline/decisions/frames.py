"""The frames that the evaluation makes, written one window at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.decisions.labels import RECORD, label_beside
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.store.bulk import copy_frame, identifiers, ids_filter, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import require_rows_in_window, swap_window

FRAME_LOCK = 0x6672616D6573
"""Advisory lock of whoever replaces a window of a frame."""


@dataclass(frozen=True)
class WriteResult:
    """What `write_decisions` did."""

    recorded: int
    """Decisions about hours that had none: the decisions of record."""
    relabelled: int
    """Decisions about hours that were decided before, stored beside the record."""


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
    (rows,) = _replace(store, {"variant_metrics": frame}, start, end, experiment_ids)
    return rows


def replace_significance(
    store: Store,
    significance: pd.DataFrame,
    metric_results: pd.DataFrame,
    start: datetime,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
) -> tuple[int, int]:
    """Make the frames the `significance_results` and `metric_results` of the hours in [start, end), in one transaction.

    Returns the rows written of each; arguments and errors as `replace_metrics`.
    """
    frames = {"significance_results": significance, "metric_results": metric_results}
    written = _replace(store, frames, start, end, experiment_ids)
    return written[0], written[1]


def _replace(
    store: Store,
    frames: Mapping[str, pd.DataFrame],
    start: datetime,
    end: datetime,
    experiment_ids: Sequence[str] | None,
) -> list[int]:
    """Replace the window of each table by its frame; the rows written of each."""
    for frame in frames.values():
        require_rows_in_window(frame, start, end)
    wanted = ids_filter(sql.SQL("experiment_id"), experiment_ids)
    written = []
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (FRAME_LOCK,))
        for table, frame in frames.items():
            names = copy_frame(connection, table, frame, "incoming")
            written.append(swap_window(connection, table, names, start, end, wanted))
            connection.execute("DROP TABLE incoming")
    return written


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
