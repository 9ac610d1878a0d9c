"""The phases of the experiments that a window of the log may hold, with their variants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.store.bulk import Source, ids_filter, read_frame, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)

PHASE_COLUMNS = (
    "experiment_id",
    "experiment_name",
    "phase_id",
    "variant_id",
    "variant_name",
    "started_at",
    "ended_at",
)


def phase_overlaps(start: datetime | None, end: datetime) -> sql.Composable:
    """A condition that `phase` has an instant in [start, end)."""
    begun = sql.SQL("phase.started_at < {}").format(time_literal(end))
    if start is None:
        return begun
    return sql.SQL("{} AND coalesce(phase.ended_at, 'infinity') > {}").format(begun, time_literal(start))


def read_phases(
    source: Source, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """A row per phase that overlaps [start, end) and variant: what a request is matched with; PHASE_COLUMNS.

    Phases in which an experiment did not run are listed too; imported experiments are not. `ended_at` is NaT if open.

    Raises:
        InputError: the window is naive or not of whole hours, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    return read_frame(
        source,
        _SQL["phases"].format(
            overlaps=phase_overlaps(start, end), wanted=ids_filter(sql.SQL("experiment.id"), experiment_ids)
        ),
    )
