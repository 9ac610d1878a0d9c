"""The stored rollups brought in line with a log elsewhere: only sums, and what each user did in an hour, come back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.coverage import seen_phases
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.log import RollupResult
from promotion_pipeline.rollups.metrics.reading import engine_reader
from promotion_pipeline.rollups.phases import read_phases
from promotion_pipeline.rollups.postgresql.users import USER_HOUR, LoadUsers
from promotion_pipeline.rollups.pushdown import read_hours, read_user_hours, requests_by_hour
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK, FreshSums, reconcile, restate
from promotion_pipeline.rollups.rollup_columns import COUNTS, SUMS
from promotion_pipeline.store.bulk import copy_typed, read_frame, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

_FRESH = {
    "hour": "timestamp with time zone",
    "experiment_id": "uuid",
    "phase_id": "uuid",
    "variant_id": "uuid",
    **dict.fromkeys(COUNTS, "bigint"),
    **dict.fromkeys(SUMS, "double precision"),
    "newest_request_at": "timestamp with time zone",
}
_USER_HOURS = {
    "hour": "timestamp with time zone",
    "phase_id": "uuid",
    "user_id": "text",
    "variant_id": "uuid",
    "requests": "bigint",
    "conversions": "bigint",
    "value": "double precision",
}


def rollup_from_source(
    store: Store,
    source: RequestSource,
    start: datetime,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
) -> RollupResult:
    """Bring the rollups of [start, end) in line with the log, and mark its hours as rolled up.

    One scan of the window, and one of its hours that have changed: what users did before is kept on our side. What the
    log has lost since it was counted is kept and named in `log_gaps`. One transaction.

    Args:
        experiment_ids: bring the rollups of these alone in line; no hour is marked then.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
            UUID.
        ConfigError: a column of the log is missing or of another type than it must be.
        DependencyError: the database or the engine cannot be reached, or the engine refuses the query.
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
        seen = seen_phases(connection, start, end, experiment_ids)
        phases = read_phases(connection, start, end, experiment_ids)
        frame, unassigned = read_hours(source, phases, start, end, known_only=experiment_ids is not None)
        copy_typed(connection, _with_unassigned(frame, unassigned), "fresh", _FRESH, "the sums of the log")
        load = None
        if source.log.with_users:
            _adopt_users(connection, source, start, end)
            load = _loader(source, phases)
        unreadable = source.unreadable(start, end)
        return reconcile(
            connection,
            FreshSums(
                start, end, experiment_ids, seen, load, partial(_restate, source), engine_reader(source), unreadable
            ),
        )


def _restate(source: RequestSource, connection: psycopg.Connection[Any]) -> None:
    """Say of the hours that `fresh` has changed how many requests of the log belong nowhere now."""
    delta = read_frame(
        connection,
        _SQL["moved_counts"].format(),
    ).set_index("hour")["requests"]
    if len(delta):
        counted = requests_by_hour(source, delta.index.min().to_pydatetime(), delta.index.max().to_pydatetime() + HOUR)
        restate(connection, delta, counted.reindex(delta.index, fill_value=0))


def _with_unassigned(frame: pd.DataFrame, unassigned: pd.Series[int]) -> pd.DataFrame:
    """The sums with a row an hour for the requests of no known arm."""
    unknown = pd.DataFrame({"hour": unassigned.index, "requests": unassigned.to_numpy()})
    for name in (*COUNTS, *SUMS):
        if name not in unknown:
            unknown[name] = 0
    own = frame.astype({"experiment_id": "object", "phase_id": "object", "variant_id": "object"})
    return pd.concat([own, unknown], ignore_index=True)[list(_FRESH)] if len(unknown) else own[list(_FRESH)]


def _loader(source: RequestSource, phases: pd.DataFrame) -> LoadUsers:
    """Asks the log for the users of the moved hours, of the phases that moved."""

    def load(connection: psycopg.Connection[Any], spans: Sequence[tuple[datetime, datetime]]) -> None:
        with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            moved = {str(row[0]) for row in cursor.execute("SELECT DISTINCT phase_id FROM moved_hours").fetchall()}
        found = read_user_hours(source, phases[phases["phase_id"].isin(moved)], spans)
        copy_typed(connection, found, "read_user_hours", _USER_HOURS, "the users of the log")
        connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE fresh_user_hours ON COMMIT DROP AS SELECT hour, phase_id, kept_user_id(user_id)"
                " AS user_id, variant_id, requests::integer, conversions::integer, value::numeric FROM read_user_hours"
                " WHERE (hour, phase_id) IN (SELECT hour, phase_id FROM moved_hours)"
            )
        )

    return load


def _adopt_users(connection: psycopg.Connection[Any], source: RequestSource, start: datetime, end: datetime) -> None:
    """Take over once what users did in the hours that were rolled up before their totals were kept on our side.

    The moments of these hours were made from the whole log, and stay.
    """
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute(_SQL["phases_without_users"].format(time_literal(end), time_literal(start))).fetchone()
    assert row is not None
    if row[0] is None:
        return
    first, after_last, ids = row
    phases = read_phases(connection, first, after_last)
    found = read_user_hours(source, phases[phases["phase_id"].isin(ids)], [(first, after_last)])
    copy_typed(connection, found, "adopted_user_hours", _USER_HOURS, "the users of the log")
    connection.execute(
        sql.SQL(
            "INSERT INTO hourly_user_rollups ({columns}) SELECT hour, phase_id, kept_user_id(user_id), variant_id,"
            " requests, conversions, value FROM adopted_user_hours AS adopted WHERE EXISTS ("
            "SELECT 1 FROM hourly_variant_rollups AS rollup WHERE (rollup.hour, rollup.phase_id,"
            " rollup.variant_id) = (adopted.hour, adopted.phase_id, adopted.variant_id)) ORDER BY 1, 2, 3, 4"
        ).format(columns=USER_HOUR)
    )
