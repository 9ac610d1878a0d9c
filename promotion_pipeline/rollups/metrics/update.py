"""The stored sums of metrics brought in line with the log and the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.rollups.metrics.columns import METRIC_COUNTS, METRIC_KEYS, METRIC_SUMS
from promotion_pipeline.rollups.metrics.difference import find_difference
from promotion_pipeline.rollups.metrics.readable import events_problem, hide_events, planned_anew, states_events
from promotion_pipeline.rollups.metrics.reading import MetricReader
from promotion_pipeline.rollups.metrics.stated import phases_with_metrics
from promotion_pipeline.rollups.metrics.told import problems_of
from promotion_pipeline.rollups.metrics.unnoted import note_in
from promotion_pipeline.store.bulk import identifiers
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


def note_metric_hours(connection: psycopg.Connection[Any]) -> None:
    """Make `metric_hours` out of the temporary tables `fresh` and `moved_hours`, before the sums are written."""
    connection.execute(_SQL["note_hours"])
    connection.execute(_SQL["key_hours"])


def update_metrics(
    connection: psycopg.Connection[Any],
    reader: MetricReader,
    since: datetime,
    until: datetime,
    experiment_ids: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Bring the sums of metrics in line; returns what people should know of it, a sentence each.

    Call it after `note_metric_hours`, in the transaction that has written the rollups. O(requests of the hours that
    moved, events that came since, and all hours of the users of either).

    Where `ai_events` cannot be read, no sum of events changes, and users are noted all the same.

    Args:
        since: events of this time on are counted, so that those are found which no trigger saw.
        until: end of the newest complete hour.
        experiment_ids: only the phases of these; changed events are left to a run of all.
    """
    phases = phases_with_metrics(connection, experiment_ids)
    if not phases:
        return ()
    problem = events_problem(connection) if states_events(phases) else None
    if problem is not None:
        hide_events(connection)
    elif experiment_ids is None:
        note_in(connection, phases, since, until)
    takes_events = True if experiment_ids is None and problem is None else None
    with planned_anew(connection):
        find_difference(connection, phases, reader, until, takes_events=takes_events)
        _apply(connection)
        unreadable = () if problem is None else (f"metrics of events are not measured: ai_events: {problem}",)
        return (*unreadable, *problems_of(phases, reader), *_told(connection))


def _apply(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_SQL["remove_stale"])
    connection.execute(_SQL["write_fresh"])
    connection.execute(_SQL["forget_lost"])
    connection.execute(_SQL["write_users"])
    columns = (*METRIC_KEYS, *METRIC_COUNTS, *METRIC_SUMS)
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = stored.{0} + excluded.{0}").format(sql.Identifier(name))
        for name in (*METRIC_COUNTS, *METRIC_SUMS)
    )
    connection.execute(_SQL["add_difference"].format(columns=identifiers(columns), assignments=assignments))
    connection.execute(_SQL["note_built"])


def _told(connection: psycopg.Connection[Any]) -> list[str]:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        nobodys = cursor.execute(_SQL["events_of_nobody"]).fetchall()
        unusable = cursor.execute(_SQL["unusable_values"]).fetchall()
    return [
        f"{experiment}: {events:,} events {event!r} of {users:,} users count nowhere: it had not served them"
        for experiment, event, events, users in nobodys
    ] + [
        f"{experiment}: {values:,} values of events {event!r} cannot be used and are left out of the sums"
        for experiment, event, values in unusable
    ]
