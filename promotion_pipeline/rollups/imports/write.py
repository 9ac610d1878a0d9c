"""Imported sums into the tables: experiments, variants, phases and rollups, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.errors import ConflictError, InputError
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK
from promotion_pipeline.store.bulk import copy_typed, identifiers
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

REAL_COLUMNS = ("latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares")
NEEDED_SUMS = ("requests", "conversions", "errors", "latency_samples", *REAL_COLUMNS)
"""Columns of `hourly_variant_rollups` without a default."""


@dataclass(frozen=True)
class ImportedRows:
    """What `write_import` wrote."""

    variants: int
    rows: int
    unplaced_rows: int
    """Rows of hours in which their experiment has no phase."""


def write_import(
    store: Store,
    hourly: pd.DataFrame,
    sums: Sequence[str],
    what: str,
    *,
    replace_all: bool,
    started_at: datetime | None,
) -> ImportedRows:
    """Write one row an (experiment, variant, hour) as rollups of imported experiments.

    Args:
        hourly: columns experiment, variant, hour, is_control, perhaps traffic_percentage, and `sums`.
        replace_all: forget the earlier rollups of these experiments, and move their start.
        started_at: start of experiments; default the first hour of each.

    Raises:
        InputError: an hour is not complete yet.
        ConflictError: an experiment gets its rollups from `ai_requests`, or is to start anew but changed its split.
        DependencyError: the database cannot be reached.
    """
    real = {*REAL_COLUMNS, "traffic_percentage"}
    types = {"experiment": "text", "variant": "text", "hour": "timestamp with time zone", "is_control": "boolean"}
    types |= {name: "double precision" if name in real else "bigint" for name in hourly.columns if name not in types}
    with store.connect() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        _refuse_future(connection, hourly, what)
        copy_typed(connection, hourly, "incoming", types, what)
        _refuse_taken(connection, replace_all=replace_all, log_is_elsewhere=store.settings.source is not None)
        _write_experiments(connection, started_at, replace_all=replace_all)
        _write_variants(connection, declared="traffic_percentage" in hourly.columns)
        # Opens the phases now, not at the commit: the rollups refer to them.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        rows = _write_rollups(connection, sums)
        variants = hourly[["experiment", "variant"]].drop_duplicates().shape[0]
        return ImportedRows(variants=variants, rows=rows, unplaced_rows=len(hourly) - rows)


def _refuse_future(connection: psycopg.Connection[Any], hourly: pd.DataFrame, what: str) -> None:
    newest, last = newest_complete_hour(connection), hourly["hour"].max().to_pydatetime()
    if last >= newest:
        raise InputError(
            f"{what}: the last row is of the hour {last.isoformat()}, but the newest complete hour ends at"
            f" {newest.isoformat()}; import complete hours only, or choose an earlier start"
        )


def _refuse_taken(connection: psycopg.Connection[Any], *, replace_all: bool, log_is_elsewhere: bool) -> None:
    # A log elsewhere is not asked here: an experiment of it is taken to have requests.
    rows = connection.execute(
        _SQL["names_of_other_logs"],
        (log_is_elsewhere,),
    ).fetchall()
    if rows:
        log = "the log of AUTO_PROMOTION_SOURCE" if log_is_elsewhere else "ai_requests"
        raise ConflictError(
            f"{len(rows)} experiments get their rollups from {log} ({_some(rows)}): import under another name"
        )
    if not replace_all:
        return
    rows = connection.execute(_SQL["names_with_several_phases"]).fetchall()
    if rows:
        raise ConflictError(
            f"{len(rows)} experiments changed their split since they were imported ({_some(rows)}):"
            " they cannot start anew; import into another database"
        )


def _some(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(repr(row["name"]) for row in rows[:5])


def _write_experiments(connection: psycopg.Connection[Any], started_at: datetime | None, *, replace_all: bool) -> None:
    if replace_all:
        connection.execute(
            """
            DELETE FROM hourly_variant_rollups WHERE experiment_id IN (
                SELECT id FROM ab_experiments WHERE name IN (SELECT experiment FROM incoming))
            """
        )
    connection.execute(
        _SQL["write_experiments"],
        {"start": started_at, "anew": replace_all},
    )


def _write_variants(connection: psycopg.Connection[Any], *, declared: bool) -> None:
    """New variants; those of a new experiment share the traffic, others get none: the split is the application's."""
    share = "max(traffic_percentage)" if declared else "NULL::float8"
    connection.execute(_SQL["write_variants"].format(share=sql.SQL(share)))


def _write_rollups(connection: psycopg.Connection[Any], sums: Sequence[str]) -> int:
    """Every row goes to the phase that its hour begins in; the first phase also takes the hour that it begins in."""
    absent = [name for name in NEEDED_SUMS if name not in sums]
    values = [*sums, *absent]
    assignments = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in values)
    return connection.execute(
        _SQL["write_rollups"].format(
            values=identifiers(values),
            given=sql.SQL(", ").join([*(sql.Identifier("incoming", n) for n in sums), *(sql.SQL("0") for _ in absent)]),
            assignments=assignments,
        )
    ).rowcount
