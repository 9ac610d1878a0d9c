"""The sums of metrics, read in the form of the evaluation: as they are stored, or as they are at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.metrics.columns import METRIC_COLUMNS, METRIC_COUNTS, METRIC_KEYS, METRIC_SUMS
from promotion_pipeline.rollups.metrics.readable import events_problem
from promotion_pipeline.rollups.phases import phase_overlaps
from promotion_pipeline.store.bulk import Source, identifiers, ids_filter, read_frame
from promotion_pipeline.store.bulk import time_literal as literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_window

_SQL = statements(__file__)

METRIC_IDS = ("experiment_id", "phase_id", "variant_id", "metric")


def read_metric_rollups(
    source: Source, start: datetime | None, end: datetime, experiment_ids: Sequence[str] | None = None
) -> pd.DataFrame | None:
    """The sums of metrics before `end` of every phase that overlaps [start, end), back to the phase's start.

    Columns METRIC_COLUMNS; ids and metrics are categories of text. A metric that nothing matches before `end` has a
    row a variant with `unmatched` 1 at the phase's first hour, beside the rows of its users; one of events, where these
    cannot be read, only a row a variant with `unreadable` 1. None: no phase of the window has metrics, and but for that
    nothing is asked.

    Raises:
        InputError: a time is naive, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    require_window(start, end)
    where = {
        "overlaps": phase_overlaps(start, end),
        "wanted": ids_filter(sql.SQL("phase.experiment_id"), experiment_ids),
    }
    stated = read_frame(source, _SQL["has_metrics"].format(**where)).iloc[0]
    if not stated["found"]:
        return None
    is_readable = not stated["with_events"] or is_events_readable(source)
    return read_metric_sums(source, _SQL["stored"], end, where, is_readable=is_readable)


def is_events_readable(source: Source) -> bool:
    """Whether `ai_events` can be read."""
    if not isinstance(source, Store):
        return events_problem(source) is None
    with source.connect() as connection:
        return events_problem(connection) is None


def read_metric_sums(
    source: Source, rollups: sql.Composable, end: datetime, where: dict[str, sql.Composable], *, is_readable: bool
) -> pd.DataFrame:
    """The frame out of a rowset with the columns of `hourly_metric_rollups`.

    Args:
        is_readable: False takes out metrics of events, whose rows say that they cannot be read.
    """
    doubles = [sql.SQL("rollup.{0}::float8 AS {0}").format(sql.Identifier(name)) for name in METRIC_SUMS]
    query = _SQL["sums"].format(
        sums=sql.SQL(", ").join([identifiers(METRIC_COUNTS, "rollup"), *doubles]),
        nothing=sql.SQL(", ").join(
            [sql.SQL("0::bigint")] * len(METRIC_COUNTS) + [sql.SQL("0::float8")] * len(METRIC_SUMS)
        ),
        rollups=rollups,
        end=literal(end),
        is_unreadable_sum=_of_events("rollup", "metric", is_readable=is_readable),
        is_unreadable=_of_events("metric", "name", is_readable=is_readable),
        **where,
    )
    return read_frame(source, query, METRIC_IDS)[list(METRIC_COLUMNS)]


def _of_events(*metric: str, is_readable: bool) -> sql.Composable:
    return sql.SQL("false") if is_readable else _SQL["of_events"].format(metric=sql.Identifier(*metric))


def sums_with_difference() -> sql.Composed:
    """SQL of the stored sums and, added to them, those of the temporary table `metric_difference`."""
    names = (*METRIC_COUNTS, *METRIC_SUMS)
    sums = [
        sql.SQL("sum({0})::{1} AS {0}").format(
            sql.Identifier(name), sql.SQL("bigint" if name in METRIC_COUNTS else "numeric")
        )
        for name in names
    ]
    return _SQL["with_difference"].format(
        sums=sql.SQL(", ").join(sums), columns=identifiers((*METRIC_KEYS, *METRIC_COUNTS, *METRIC_SUMS))
    )
