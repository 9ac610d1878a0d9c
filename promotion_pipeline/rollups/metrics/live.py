"""The sums of metrics as of an instant, hours included that nobody has rolled up yet; nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.coverage import Missing, uncovered
from promotion_pipeline.rollups.engines.registry import open_source
from promotion_pipeline.rollups.metrics.difference import find_difference
from promotion_pipeline.rollups.metrics.reading import MetricReader, engine_reader, table_reader
from promotion_pipeline.rollups.metrics.stored import read_metric_rollups, read_metric_sums, sums_with_difference
from promotion_pipeline.rollups.metrics.update import phases_with_metrics
from promotion_pipeline.rollups.phases import phase_overlaps
from promotion_pipeline.store.bulk import Source, ids_filter
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)


def live_metric_rollups(
    store: Store, source: Source, as_of: datetime, experiment_ids: Sequence[str] | None = None
) -> pd.DataFrame | None:
    """The sums of metrics before `as_of` of every phase of its last hour, as `read_metric_rollups` gives them.

    Where hours are in no rollup yet, what they and newer events change is found as the hourly run finds it, in a
    transaction that is taken back. None: no such phase has metrics.

    Args:
        source: the store, or a connection whose transaction everything is read in.

    Raises:
        InputError: `as_of` is naive or not a whole hour, or an id is no UUID.
        ConfigError: the configuration of the log is wrong, or a column of it is missing.
        DependencyError: the database or the log cannot be reached.
    """
    require_hours(None, as_of)
    where = {
        "overlaps": phase_overlaps(as_of - HOUR, as_of),
        "wanted": ids_filter(sql.SQL("phase.experiment_id"), experiment_ids),
    }
    # Earlier phases too: in which of them a user was first met says where the user's past ends.
    wanted = sql.SQL(
        "{wanted} AND phase.fixed <> '{{}}' AND phase.experiment_id IN (SELECT phase.experiment_id"
        " FROM ab_experiment_phases AS phase WHERE phase.fixed <> '{{}}' AND {overlaps})"
    ).format(**where)
    missing = uncovered(source, as_of, wanted, is_elsewhere=load_source(store.settings) is not None)
    if not missing:
        return read_metric_rollups(source, as_of - HOUR, as_of, experiment_ids)
    with (
        open_reader(store) as reader,
        _connection(store, source) as connection,
        connection.transaction(force_rollback=True),
    ):
        settle_user_ids(connection, store.settings.user_id_keys)
        _find(connection, reader, missing, as_of, experiment_ids)
        return read_metric_sums(connection, sums_with_difference(), as_of, where)


def _find(
    connection: Connection,
    reader: MetricReader,
    missing: Sequence[Missing],
    as_of: datetime,
    experiment_ids: Sequence[str] | None,
) -> None:
    phases = phases_with_metrics(connection, experiment_ids)
    connection.execute(
        "CREATE TEMPORARY TABLE metric_hours (hour timestamptz, phase_id uuid, PRIMARY KEY (hour, phase_id))"
        " ON COMMIT DROP"
    )
    for part in missing:
        connection.execute(
            _SQL["note_missing_hours"],
            {
                "start": part.start,
                "end": min(part.end, as_of),
                "ids": list(part.experiment_ids),
                "phases": [phase.phase_id for phase in phases],
            },
        )
    find_difference(connection, phases, reader, as_of, takes_events=False)


@contextlib.contextmanager
def open_reader(store: Store) -> Iterator[MetricReader]:
    """How the log that is configured is asked; its engine is closed at the end.

    Raises:
        ConfigError: the configuration of the log is wrong.
        DependencyError: the log cannot be reached.
    """
    config = load_source(store.settings)
    if config is None:
        yield table_reader()
        return
    with open_source(config, store) as source:
        yield engine_reader(source)


@contextlib.contextmanager
def _connection(store: Store, source: Source) -> Iterator[Connection]:
    if not isinstance(source, Store):
        yield source
        return
    with store.connect() as connection:
        yield connection
