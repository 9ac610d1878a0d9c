"""The stored rollups: read in the form of the evaluation, replaced one window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.coverage import cover, seen_phases
from promotion_pipeline.rollups.phases import phase_overlaps
from promotion_pipeline.rollups.postgresql.totals import rows_since_totals
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, MOMENTS, SUMS
from promotion_pipeline.store.bulk import Source, copy_frame, identifiers, ids_filter, read_frame, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_rows_in_window, require_window, swap_window

_SQL = statements(__file__)


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
    require_window(start, end)
    if settled_before is not None:
        phases = sql.SQL("{} AND {}").format(
            phase_overlaps(start, end), ids_filter(sql.SQL("phase.experiment_id"), experiment_ids)
        )
        return read_frame(source, rows_since_totals(phases, stored_columns("rollup"), end, settled_before), IDS)
    query = _SQL["rollups"].format(
        columns=stored_columns("rollup"),
        end=time_literal(end),
        overlaps=phase_overlaps(start, end),
        wanted=ids_filter(sql.SQL("rollup.experiment_id"), experiment_ids),
    )
    return read_frame(source, query, IDS)


def stored_columns(alias: str) -> sql.Composed:
    """The columns of `hourly_variant_rollups`, ids as text."""
    keys = [sql.SQL("{}::text AS {}").format(sql.Identifier(alias, key), sql.Identifier(key)) for key in IDS]
    rest = identifiers((*COUNTS, *SUMS, *MOMENTS, "newest_request_at"), alias)
    return sql.SQL(", ").join([sql.Identifier(alias, "hour"), *keys, rest])


def replace_rollups(
    store: Store,
    frame: pd.DataFrame,
    start: datetime,
    end: datetime,
) -> int:
    """Make `frame` the rollups of [start, end) and mark its hours as rolled up; returns the rows written.

    Rollups of imported experiments stay, and rows about them in `frame` are left out. One transaction.
    To aggregate what is in the database already, `rollup_window` is the cheaper way.

    Raises:
        InputError: the window is not of whole hours, a row lies outside it, or a column is missing or no number.
        DependencyError: the database cannot be reached.
    """
    require_rows_in_window(frame, start, end)
    wanted = sql.SQL("experiment_id IN (SELECT id FROM ab_experiments WHERE rollup_source = 'requests')")
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        cover(connection, seen_phases(connection, start, end), start, end)
        names = copy_frame(connection, "hourly_variant_rollups", frame, "incoming")
        rows = swap_window(connection, "hourly_variant_rollups", names, start, end, wanted)
        connection.execute(
            _SQL["mark_hours"],
            (start, end),
        )
    return rows
