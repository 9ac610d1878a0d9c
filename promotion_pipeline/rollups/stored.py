"""The stored rollups, read in the form of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.phases import phase_overlaps
from promotion_pipeline.rollups.postgresql.totals import rows_since_totals
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, MOMENTS, SUMS
from promotion_pipeline.store.bulk import Source, identifiers, ids_filter, read_frame, rendered, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_window

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
        settled_before: hours before it may be summed up already, up to three rows a variant (`rows_since_totals`).

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


@cache
def stored_columns(alias: str) -> sql.SQL:
    """The columns of `hourly_variant_rollups`, ids as text."""
    keys = [sql.SQL("{}::text AS {}").format(sql.Identifier(alias, key), sql.Identifier(key)) for key in IDS]
    rest = identifiers((*COUNTS, *SUMS, *MOMENTS, "newest_request_at"), alias)
    return rendered(sql.SQL(", ").join([sql.Identifier(alias, "hour"), *keys, rest]))
