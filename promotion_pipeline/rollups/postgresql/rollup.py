"""Requests to hourly sums, inside the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.coverage import (
    RUNNING,
    SeenPhase,
    cover,
    note_counts,
    requests_kept_since,
    restate_hours,
    seen_phases,
    uncovered,
)
from promotion_pipeline.rollups.log_gaps import Unreadable, keep_what_vanished
from promotion_pipeline.rollups.postgresql.arms import ARMS, KNOWN_USER, REQUEST_HOUR, WITH_ARMS, hour_of
from promotion_pipeline.rollups.postgresql.unusable import Unusable, unusable_numbers
from promotion_pipeline.rollups.postgresql.users import LoadUsers, load_user_hours, update_moments
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, KEYS, MOMENTS, SUMS
from promotion_pipeline.store.bulk import Source, identifiers, ids_filter, read_frame, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.usable import amount, latency
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.store.windows import require_hours

ROLLUP_LOCK = 0x726F6C6C757073
"""Advisory lock of whoever writes rollups: two runs over one window go one after the other."""


@dataclass(frozen=True)
class RollupResult:
    """What `rollup_window` did."""

    rows: int
    """Rollup rows that the window has now."""
    requests: int
    """Requests of the source in the window."""
    unassigned_requests: int
    """Those of no known variant, of an imported experiment, or of before their experiment's first phase."""
    changed_rows: int
    """Rollup rows that were added, changed or removed."""
    kept_rows: int = 0
    """Rollup rows that stay as they were counted, although the log has lost their requests."""
    unusable: tuple[Unusable, ...] = ()
    """Numbers of the product's own table that were left out of the sums."""


# Casts come before the square, which would overflow an integer. OFFSET 0 keeps a cast from being done again.
_AGGREGATE = sql.SQL(
    """
    WITH {arms}, sums AS (
        SELECT hour, arm, count(*) AS requests,
            count(*) FILTER (WHERE converted) AS conversions,
            count(*) FILTER (WHERE is_error) AS errors,
            count(latency) AS latency_samples,
            count(user_id) AS user_requests,
            count(user_id) FILTER (WHERE converted) AS user_conversions,
            coalesce(sum(latency), 0) AS latency_ms_sum,
            coalesce(sum(latency * latency), 0) AS latency_ms_sum_squares,
            coalesce(sum(amount), 0) AS value_sum,
            coalesce(sum(amount * amount), 0) AS value_sum_squares,
            max(created_at) AS newest_request_at,
            count(*) FILTER (WHERE has_latency AND latency IS NULL) AS unusable_latencies,
            count(*) FILTER (WHERE has_value AND amount IS NULL) AS unusable_values
        FROM (
            SELECT {hour} AS hour, arms.arm, request.created_at,
                CASE WHEN {known_user} THEN request.user_id END AS user_id,
                request.converted, request.is_error,
                {latency} AS latency, {amount} AS amount,
                request.latency_ms IS NOT NULL AS has_latency, request.value IS NOT NULL AS has_value
            FROM {requests}
            WHERE request.created_at >= {start} AND request.created_at < {end} AND {condition}
            OFFSET 0
        ) AS request
        GROUP BY hour, arm
    )
    SELECT sums.*, arms.experiment_id, arms.phase_id, arms.variant_id FROM sums LEFT JOIN arms USING (arm)
    """
)


def aggregation(start: datetime, end: datetime, condition: sql.Composable | None = None) -> sql.Composed:
    """SQL of the sums of [start, end); the rows of requests that belong nowhere have no phase_id.

    `condition` may restrict `request`.
    """
    return _AGGREGATE.format(
        arms=ARMS,
        requests=WITH_ARMS,
        hour=REQUEST_HOUR,
        latency=latency(sql.SQL("request.latency_ms")),
        amount=amount(sql.SQL("request.value")),
        known_user=KNOWN_USER,
        start=time_literal(start),
        end=time_literal(end),
        condition=condition or sql.SQL("true"),
    )


def as_columns(alias: str) -> sql.Composed:
    """The columns of a rollup frame out of a rowset that has KEYS, COUNTS and SUMS, and perhaps no user sums."""
    keys = [sql.SQL("{}::text AS {}").format(sql.Identifier(alias, key), sql.Identifier(key)) for key in IDS]
    return sql.SQL(", ").join(
        [
            sql.Identifier(alias, "hour"),
            *keys,
            identifiers((*COUNTS, *SUMS), alias),
            *(sql.SQL("0::{} AS {}").format(sql.SQL(MOMENTS[name]), sql.Identifier(name)) for name in MOMENTS),
            sql.Identifier(alias, "newest_request_at"),
        ]
    )


def aggregate_requests(
    source: Source, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """The sums of the requests in [start, end) by (hour, experiment, phase, variant), columns ROLLUP_COLUMNS.

    Requests that belong to no known variant or phase are left out. Nothing is written. One scan of the window.

    Raises:
        InputError: the window is naive or not of whole hours, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    wanted = ids_filter(sql.SQL("request.experiment_id"), experiment_ids)
    # OFFSET 0: the filter on the result must not change how the requests are read.
    query = sql.SQL("SELECT {} FROM ({} OFFSET 0) AS rollup WHERE phase_id IS NOT NULL ORDER BY 1, 2, 3, 4").format(
        as_columns("rollup"), aggregation(start, end, wanted)
    )
    return read_frame(source, query, IDS)


def rollup_window(
    store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> RollupResult:
    """Bring the rollups of [start, end) in line with the requests, and mark its hours as rolled up.

    Only what changed is written; rollups of imported experiments, and of days whose requests were dropped, stay. One
    transaction; no row leaves the database.

    Args:
        experiment_ids: read the requests of these alone, at the cost of theirs; no hour is marked then.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
            UUID.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    with store.connect() as connection, connection.transaction():
        newest = newest_complete_hour(connection)
        if end > newest:
            raise InputError(
                f"the window ends at {end.isoformat()}, after the newest complete hour, which ends at"
                f" {newest.isoformat()}: later requests would be lost"
            )
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        settle_user_ids(connection, store.settings.user_id_keys)
        start = max(start, requests_kept_since(connection) or start)
        if start >= end:
            return RollupResult(0, 0, 0, 0)
        # The default of 4 MB sorts and hashes a busy hour's users on disk.
        connection.execute("SET LOCAL work_mem = '128MB'")
        seen = seen_phases(connection, start, end, experiment_ids)
        wanted = ids_filter(sql.SQL("request.experiment_id"), experiment_ids)
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS {}").format(aggregation(start, end, wanted))
        )
        done = settle(connection, Reading(start, end, experiment_ids, seen, load_user_hours, restate_hours))
        return replace(done, unusable=unusable_numbers(connection))


@dataclass(frozen=True)
class Reading:
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
    unreadable: Sequence[Unreadable] = ()
    """What of the log could not be read."""


def settle(connection: psycopg.Connection[Any], reading: Reading) -> RollupResult:
    """Bring the stored rollups in line with the temporary table `fresh`, and mark the hours.

    `fresh` has the columns of `aggregation`. What the log lost is kept and named in `log_gaps`. Call it with
    `ROLLUP_LOCK` held. Where only some experiments were read no hour is marked.
    """
    start, end, ids = reading.start, reading.end, reading.experiment_ids
    connection.execute("ANALYZE fresh (hour, phase_id, variant_id)")
    stored = _stored(start, end, ids)
    columns = (*KEYS, *COUNTS, *SUMS, "newest_request_at")
    kept = keep_what_vanished(connection, start, end, stored, columns, reading.unreadable, ids)
    _find_moved_hours(connection, stored)
    if ids is not None:
        note_counts(connection, stored)
    changed = _remove_vanished(connection, stored) + _write_changed(connection)
    if reading.load_users is not None:
        update_moments(connection, reading.load_users)
    cover(connection, reading.seen, start, end)
    if ids is None:
        return replace(_mark_hours(connection, start, end, changed), kept_rows=kept)
    reading.restate(connection)
    return replace(_restricted_result(connection, changed), kept_rows=kept)


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


def rollup_missing(store: Store, end: datetime) -> RollupResult:
    """Roll up what of the running phases' requests before `end` is in no rollup, back to the phases' start.

    First the hours that were never read for anyone, in one window; then, experiment by experiment, what an hour was
    read without: an experiment that arrived with its history. Where nothing is missing it costs two short queries.

    Raises:
        InputError: `end` is naive, not a whole hour, or after the newest complete hour.
        DependencyError: the database cannot be reached.
    """
    window = missing_window(store, end)
    parts = [] if window is None else [rollup_window(store, *window)]
    for missing in uncovered(store, end, RUNNING):
        parts.append(rollup_window(store, missing.start, missing.end, missing.experiment_ids))
    return added_up(parts)


def added_up(parts: Sequence[RollupResult]) -> RollupResult:
    """What several rollups did together."""
    return RollupResult(
        rows=sum(part.rows for part in parts),
        requests=sum(part.requests for part in parts),
        unassigned_requests=sum(part.unassigned_requests for part in parts),
        changed_rows=sum(part.changed_rows for part in parts),
        kept_rows=sum(part.kept_rows for part in parts),
    )


def missing_window(store: Store, end: datetime) -> tuple[datetime, datetime] | None:
    """From the first to the last hour before `end` that was never rolled up, since the oldest phase that is running.

    Raises:
        InputError: `end` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, end)
    with store.connect() as connection:
        row = connection.execute(
            sql.SQL(
                """
                SELECT min(passed.hour) AS first, max(passed.hour) + interval '1 hour' AS after_last
                FROM (SELECT greatest({start}, (SELECT before FROM dropped_requests)) AS start
                    FROM ab_experiment_phases AS phase
                    JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
                    WHERE {running} AND experiment.rollup_source = 'requests') AS oldest
                CROSS JOIN LATERAL generate_series(oldest.start, {end} - interval '1 hour', '1 hour') AS passed(hour)
                WHERE NOT EXISTS (SELECT 1 FROM rollup_hours WHERE rollup_hours.hour = passed.hour)
                """
            ).format(start=hour_of(sql.SQL("min(phase.started_at)")), end=time_literal(end), running=RUNNING)
        ).fetchone()
    return None if row is None or row["first"] is None else (row["first"], row["after_last"])


def _find_moved_hours(connection: psycopg.Connection[Any], mine: sql.Composable) -> None:
    """The hours and phases whose requests are not those of the stored rollups: only their users are looked at again."""
    # Money in `value` is compared to a millionth: the order of an addition moves the last bits of its sum.
    compared = sql.SQL("hour, phase_id, variant_id, requests, user_requests, user_conversions, round({}, 6)").format(
        sql.SQL("value_sum::numeric")
    )
    stored = sql.SQL("SELECT {} FROM hourly_variant_rollups AS stored WHERE {}").format(compared, mine)
    connection.execute(
        sql.SQL(
            """
            CREATE TEMPORARY TABLE moved_hours ON COMMIT DROP AS
            SELECT DISTINCT hour, phase_id FROM (
                (SELECT {compared} FROM fresh WHERE phase_id IS NOT NULL EXCEPT {stored})
                UNION ALL ({stored} EXCEPT SELECT {compared} FROM fresh)) AS different
            """
        ).format(compared=compared, stored=stored)
    )
    connection.execute("ANALYZE moved_hours")


def _remove_vanished(connection: psycopg.Connection[Any], mine: sql.Composable) -> int:
    """Rows whose requests are gone or now belong to another phase."""
    return connection.execute(
        sql.SQL(
            """
            DELETE FROM hourly_variant_rollups AS stored
            WHERE {} AND NOT EXISTS (
                SELECT 1 FROM fresh
                WHERE (fresh.hour, fresh.phase_id, fresh.variant_id)
                    = (stored.hour, stored.phase_id, stored.variant_id))
            """
        ).format(mine)
    ).rowcount


def _write_changed(connection: psycopg.Connection[Any]) -> int:
    columns = (*KEYS, *COUNTS, *SUMS, "newest_request_at")
    exact = (*COUNTS, "newest_request_at")
    # The order of an addition moves the last bits of a sum: that is no change.
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
        sql.SQL(
            """
            INSERT INTO hourly_variant_rollups AS stored ({columns})
            SELECT {columns} FROM fresh WHERE phase_id IS NOT NULL
            ON CONFLICT (hour, phase_id, variant_id) DO UPDATE SET {assignments}
            WHERE ({stored}) IS DISTINCT FROM ({excluded}) OR {moved}
            """
        ).format(
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
            """
            WITH counted AS (
                SELECT hour, coalesce(sum(requests), 0)::bigint AS requests,
                    coalesce(sum(requests) FILTER (WHERE phase_id IS NULL), 0)::bigint AS unassigned,
                    count(phase_id) AS rows
                FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS hour
                LEFT JOIN fresh USING (hour)
                GROUP BY hour
            ), marked AS (
                INSERT INTO rollup_hours (hour, requests, unassigned_requests)
                SELECT hour, requests, unassigned FROM counted
                ON CONFLICT (hour) DO UPDATE SET rolled_up_at = now(), requests = excluded.requests,
                    unassigned_requests = excluded.unassigned_requests
            )
            SELECT sum(rows)::bigint, sum(requests)::bigint, sum(unassigned)::bigint FROM counted
            """,
            {"start": start, "end": end},
        ).fetchone()
    assert row is not None
    return RollupResult(rows=row[0], requests=row[1], unassigned_requests=row[2], changed_rows=changed)


def _restricted_result(connection: psycopg.Connection[Any], changed: int) -> RollupResult:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(
            """
            SELECT count(phase_id), coalesce(sum(requests), 0)::bigint,
                coalesce(sum(requests) FILTER (WHERE phase_id IS NULL), 0)::bigint
            FROM fresh
            """
        ).fetchone()
    assert row is not None
    return RollupResult(rows=row[0], requests=row[1], unassigned_requests=row[2], changed_rows=changed)
