"""Conservation: are the sums of metrics those of the requests and events that are there. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.rollups.conservation import unbalanced_hours
from promotion_pipeline.rollups.metrics.definitions import slots_of
from promotion_pipeline.rollups.metrics.difference import list_metrics, read_log_of_hours
from promotion_pipeline.rollups.metrics.live import open_reader
from promotion_pipeline.rollups.metrics.reading import MetricReader
from promotion_pipeline.rollups.metrics.update import phases_with_metrics
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)


@dataclass(frozen=True)
class MetricCount:
    """One hour of a metric whose sums are not those of its rows."""

    hour: datetime
    experiment_name: str
    metric: str
    source_samples: int
    """Events, or requests with a number in the column, that count for it now."""
    counted_samples: int
    """Of them in the sums."""
    source_value: float
    """Sum of their values, each request's under the cap."""
    counted_value: float | None
    """Of it in the sums; None: what its kind sums up is no sum of values."""
    is_late: bool
    """Rows have come, or gone, since the sums were made: the next run settles it."""


def unbalanced_metrics(store: Store, start: datetime, end: datetime) -> list[MetricCount]:
    """The hours and metrics in [start, end) that were summed up and whose sums are not those of their rows.

    Compared are requests and values of metrics of the log, and events, with their values where no cap is put on users'
    totals. Ratios are made of the others. An event counts from when its user is kept to have been served first. Hours
    whose requests were dropped are left out. O(requests of the window) where a metric is of the log.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database or the log cannot be reached.
    """
    require_hours(start, end)
    with open_reader(store) as reader, store.connect() as connection, connection.transaction(force_rollback=True):
        # One snapshot: what comes meanwhile is in the rows and in the sums, or in neither.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        settle_user_ids(connection, store.settings.user_id_keys)
        found = _compared(connection, reader, start, end)
    if not found:
        return []
    # Asked after the comparison, so that a row that it saw is not missed.
    late = {hour.hour for hour in unbalanced_hours(store, start, end) if hour.source_requests != hour.counted_requests}
    return [replace(one, is_late=one.is_late or one.hour in late) for one in found]


def _compared(
    connection: psycopg.Connection[Any], reader: MetricReader, start: datetime, end: datetime
) -> list[MetricCount]:
    phases = phases_with_metrics(connection)
    if not phases:
        return []
    slots = tuple(slot for slot in slots_of(phases) if reader.has_column(slot.column))
    list_metrics(connection, phases, slots)
    connection.execute(_SQL["hours_to_compare"], {"start": start, "end": end})
    connection.execute(_SQL["make_source"])
    if slots:
        read_log_of_hours(connection, reader, slots)
        for number in range(len(slots)):
            parts = {name: sql.Identifier(f"c{number}_{name}") for name in ("positive", "number")}
            total = sql.Identifier(f"c{number}_sum")
            connection.execute(_SQL["source_of_column"].format(slot=sql.Literal(number), total=total, **parts))
    connection.execute(_SQL["source_of_events"].format(amount=amount(sql.SQL("event.value"), "numeric")))
    connection.execute("ANALYZE metric_source")
    with connection.cursor(row_factory=psycopg.rows.class_row(MetricCount)) as cursor:
        return cursor.execute(_SQL["unbalanced"]).fetchall()
