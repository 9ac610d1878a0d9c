"""Requests to hourly sums, inside the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

import pandas as pd
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.coverage import requests_kept_since, seen_phases
from promotion_pipeline.rollups.log import RollupResult
from promotion_pipeline.rollups.metrics.reading import table_reader
from promotion_pipeline.rollups.postgresql.arms import KNOWN_USER, REQUEST_HOUR, WITH_ARMS, arms
from promotion_pipeline.rollups.postgresql.unusable import unusable_numbers
from promotion_pipeline.rollups.postgresql.users import load_user_hours
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK, FreshSums, reconcile, restate_hours
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, MOMENTS, SUMS
from promotion_pipeline.store.bulk import Source, identifiers, ids_filter, read_frame, rendered, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount, latency
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)
_LATENCY = rendered(latency(sql.SQL("request.latency_ms")))
_AMOUNT = rendered(amount(sql.SQL("request.value")))


def aggregation(start: datetime, end: datetime, condition: sql.Composable | None = None) -> sql.Composed:
    """SQL of the sums of [start, end); the rows of requests that belong nowhere have no phase_id.

    `condition` may restrict `request`.
    """
    return _SQL["aggregate"].format(
        arms=arms(start, end),
        requests=WITH_ARMS,
        hour=REQUEST_HOUR,
        latency=_LATENCY,
        amount=_AMOUNT,
        known_user=KNOWN_USER,
        start=time_literal(start),
        end=time_literal(end),
        condition=condition or sql.SQL("true"),
    )


@cache
def as_columns(alias: str) -> sql.SQL:
    """The columns of a rollup frame out of a rowset that has KEYS, COUNTS and SUMS, and perhaps no user sums."""
    keys = [sql.SQL("{}::text AS {}").format(sql.Identifier(alias, key), sql.Identifier(key)) for key in IDS]
    columns = sql.SQL(", ").join(
        [
            sql.Identifier(alias, "hour"),
            *keys,
            identifiers((*COUNTS, *SUMS), alias),
            *(sql.SQL("0::{} AS {}").format(sql.SQL(MOMENTS[name]), sql.Identifier(name)) for name in MOMENTS),
            sql.Identifier(alias, "newest_request_at"),
        ]
    )
    return rendered(columns)


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
        done = reconcile(
            connection,
            FreshSums(start, end, experiment_ids, seen, load_user_hours, restate_hours, table_reader()),
        )
        return replace(done, unusable=unusable_numbers(connection))
