"""The stored rollups brought in line with what a log has now; what was read of it is in the temporary table `fresh`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.rollups.coverage import SeenPhase, cover
from promotion_pipeline.rollups.log import RollupResult
from promotion_pipeline.rollups.log_gaps import Unreadable, keep_what_vanished
from promotion_pipeline.rollups.metrics.reading import MetricReader
from promotion_pipeline.rollups.metrics.update import note_metric_hours, update_metrics
from promotion_pipeline.rollups.postgresql.users import LoadUsers, update_moments
from promotion_pipeline.rollups.rollup_columns import COUNTS, KEYS, SUMS
from promotion_pipeline.store.bulk import identifiers, ids_filter, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

ROLLUP_LOCK = 0x726F6C6C757073
"""Advisory lock of whoever writes rollups: two runs over one window go one after the other."""


@dataclass(frozen=True)
class FreshSums:
    """What of the log is in the temporary table `fresh`, and how more of it is asked."""

    start: datetime
    end: datetime
    experiment_ids: Sequence[str] | None
    """Those whose requests were read; None: all."""
    seen: Sequence[SeenPhase]
    """The phases that were known when the requests were read."""
    load_users: LoadUsers | None
    """Fills `fresh_user_hours`; None: the log has no users."""
    restate: Callable[[psycopg.Connection[Any]], None]
    """Says of changed hours how many requests belong nowhere now, where only some experiments were read."""
    metrics: MetricReader
    """The log as the metrics of experiments ask it."""
    unreadable: Sequence[Unreadable] = ()
    """What of the log could not be read."""


def reconcile(connection: psycopg.Connection[Any], sums: FreshSums) -> RollupResult:
    """Bring the stored rollups in line with the temporary table `fresh`, and mark the hours.

    `fresh` has the columns of `aggregation`. What the log lost is kept and named in `log_gaps`. Call it with
    `ROLLUP_LOCK` held. Where only some experiments were read no hour is marked.
    """
    start, end, ids = sums.start, sums.end, sums.experiment_ids
    connection.execute("ANALYZE fresh (hour, phase_id, variant_id)")
    stored = _stored(start, end, ids)
    columns = (*KEYS, *COUNTS, *SUMS, "newest_request_at")
    kept = keep_what_vanished(connection, start, end, stored, columns, sums.unreadable, ids)
    _find_moved_hours(connection, stored)
    has_metrics = any(phase.has_metrics for phase in sums.seen)
    if has_metrics:
        note_metric_hours(connection)
    if ids is not None:
        note_counts(connection, stored)
    changed = _remove_vanished(connection, stored) + _write_changed(connection)
    if sums.load_users is not None:
        update_moments(connection, sums.load_users)
    told: tuple[str, ...] = ()
    if has_metrics:
        told = update_metrics(connection, sums.metrics, start, newest_complete_hour(connection), ids)
    cover(connection, sums.seen, start, end)
    if ids is None:
        return replace(_mark_hours(connection, start, end, changed), kept_rows=kept, told=told)
    sums.restate(connection)
    return replace(_restricted_result(connection, changed), kept_rows=kept, told=told)


def _stored(start: datetime, end: datetime, experiment_ids: Sequence[str] | None) -> sql.Composed:
    """A condition on `stored`, the rollups: those that the window's requests make."""
    return sql.SQL(
        """stored.hour >= {start} AND stored.hour < {end} AND {wanted} AND EXISTS (
            SELECT 1 FROM ab_experiments AS experiment
            WHERE experiment.id = stored.experiment_id AND experiment.rollup_source = 'requests')"""
    ).format(
        start=time_literal(start),
        end=time_literal(end),
        wanted=ids_filter(sql.SQL("stored.experiment_id"), experiment_ids),
    )


def _find_moved_hours(connection: psycopg.Connection[Any], mine: sql.Composable) -> None:
    """The hours and phases whose requests are not those of the stored rollups: only their users are looked at again."""
    # Sums of `value` are compared to a millionth: the last bits of a sum depend on the order of its addition.
    compared = sql.SQL("hour, phase_id, variant_id, requests, user_requests, user_conversions, round({}, 6)").format(
        sql.SQL("value_sum::numeric")
    )
    stored = sql.SQL("SELECT {} FROM hourly_variant_rollups AS stored WHERE {}").format(compared, mine)
    connection.execute(_SQL["find_moved_hours"].format(compared=compared, stored=stored))
    connection.execute("ANALYZE moved_hours")


def _remove_vanished(connection: psycopg.Connection[Any], mine: sql.Composable) -> int:
    """Rows whose requests are gone or now belong to another phase."""
    return connection.execute(_SQL["remove_vanished"].format(mine)).rowcount


def _write_changed(connection: psycopg.Connection[Any]) -> int:
    columns = (*KEYS, *COUNTS, *SUMS, "newest_request_at")
    exact = (*COUNTS, "newest_request_at")
    # Not a change: the last bits of a sum depend on the order of its addition.
    moved = sql.SQL(" OR ").join(
        sql.SQL("abs(stored.{0} - excluded.{0}) > 1e-9 * greatest(abs(stored.{0}), abs(excluded.{0}))").format(
            sql.Identifier(name)
        )
        for name in SUMS
    )
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name not in KEYS
    )
    return connection.execute(
        _SQL["write_changed"].format(
            columns=identifiers(columns),
            assignments=assignments,
            stored=identifiers(exact, "stored"),
            excluded=identifiers(exact, "excluded"),
            moved=moved,
        )
    ).rowcount


def _mark_hours(connection: psycopg.Connection[Any], start: datetime, end: datetime, changed: int) -> RollupResult:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(
            _SQL["mark_hours"],
            {"start": start, "end": end},
        ).fetchone()
    assert row is not None
    return RollupResult(rows=row[0], requests=row[1], unassigned_requests=row[2], changed_rows=changed)


def _restricted_result(connection: psycopg.Connection[Any], changed: int) -> RollupResult:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(_SQL["counts"]).fetchone()
    assert row is not None
    return RollupResult(rows=row[0], requests=row[1], unassigned_requests=row[2], changed_rows=changed)


def note_counts(connection: psycopg.Connection[Any], mine: sql.Composable) -> None:
    """Remember, for `restate_hours`, what the rollups of some experiments add up to before they are written.

    Args:
        mine: a condition on `stored`, the rollups of these experiments in the window.
    """
    connection.execute(_SQL["note_counts"].format(mine))


def restate_hours(connection: psycopg.Connection[Any]) -> None:
    """Say of the hours that `fresh` has changed how many requests belong nowhere now.

    O(requests of the hours that changed).
    """
    connection.execute(_SQL["restate"].format(_SQL["counts_in_table"]))


def restate(connection: psycopg.Connection[Any], assigned: pd.Series[int], counted: pd.Series[int]) -> None:
    """The same where the log is elsewhere.

    Args:
        assigned: requests that rollups have now and had not before, by hour.
        counted: requests of the log in these hours.
    """
    connection.execute(
        _SQL["restate"].format(
            sql.SQL(
                "SELECT * FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[]) AS given (hour, assigned, counted)"
            )
        ),
        (list(assigned.index), [int(value) for value in assigned], [int(value) for value in counted]),
    )
