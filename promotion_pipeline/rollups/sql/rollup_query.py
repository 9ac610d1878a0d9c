"""The one SQL template of the rollup, filled in for an engine and a log.

A row comes back per (hour, arm): sums only. Requests of no known arm are one row an hour without an arm. All columns
are whole numbers or doubles, so that no driver has a say in time zones or decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.rollup_columns import MOMENTS
from promotion_pipeline.rollups.sql.dialect import Cell, Dialect, TimeForm
from promotion_pipeline.rollups.sql.flags import Flag
from promotion_pipeline.rollups.sql.kinds import Kind, LogColumn
from promotion_pipeline.rollups.sql.log_columns import LogColumns
from promotion_pipeline.store.statements import texts
from promotion_pipeline.store.windows import HOUR

_SQL = texts(__file__)

USER_COUNTS = tuple(name for name, kind in MOMENTS.items() if kind == "bigint")
USER_SUMS = tuple(name for name, kind in MOMENTS.items() if kind != "bigint")


TOTALS = """PARTITION BY own.phase, own.user_key, own.arm ORDER BY own.bucket
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"""
NO_KEY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Log:
    """A request log, known well enough to write its SQL."""

    dialect: Dialect
    table: str
    """The rowset of the requests, quoted."""
    columns: LogColumns
    users: bool
    """Whether user-level sums are asked for."""

    @property
    def with_users(self) -> bool:
        """Whether there are users to sum over."""
        return self.users and self.columns.user_id is not None


def rollup_sql(
    log: Log,
    phases: pd.DataFrame,
    start: datetime,
    end: datetime,
    *,
    with_moments: bool = True,
    known_only: bool = False,
) -> str:
    """The query whose rows are the sums of [start, end) by hour and arm, the row's number in `phases`.

    Cost: one scan of the window; with user-level moments another of everything since the oldest start of a phase.

    Args:
        known_only: leave the requests of no known arm out, instead of counting them.

    Raises:
        InputError: the engine has no such type or cannot be given a name, or the query is longer than it takes.
    """
    dialect, time = log.dialect, log.dialect.form(log.columns.time)
    with_moments = with_moments and log.with_users
    oldest = min([start, *_times(phases["started_at"], start)]) if with_moments else start
    query = _SQL["hourly"].format(
        arms=arms_sql(log, phases, oldest, end),
        hour=time.hour.format(bucket="hourly.bucket"),
        newest=time.micros.format(time="hourly.newest"),
        moment_columns="".join(_moment_column(name) for name in (*USER_COUNTS, *USER_SUMS)) if with_moments else "",
        requests=_requests(log, time, start, end, "", "JOIN" if known_only else "LEFT JOIN"),
        moments="\n" + _moments(log, time, oldest, start, end) if with_moments else "",
        integer=dialect.integer,
        double=dialect.double,
    )
    return check_length(dialect, query + "\n", len(phases))


def check_length(dialect: Dialect, query: str, arms: int) -> str:
    """The query as it is.

    Raises:
        InputError: it is longer than the engine takes.
    """
    if dialect.longest_query is not None and len(query) > dialect.longest_query:
        raise InputError(
            f"the query has {len(query):,} characters for {arms:,} arms, the engine takes"
            f" {dialect.longest_query:,}: ask for fewer experiments or a shorter window at a time"
        )
    return query


def user_hours_sql(log: Log, phases: pd.DataFrame, spans: Sequence[tuple[datetime, datetime]]) -> str:
    """The query whose rows are what each known user did in each hour of `spans`, by arm of `phases`.

    Raises:
        InputError: as `rollup_sql`.
    """
    dialect, time = log.dialect, log.dialect.form(log.columns.time)
    created = f"request.{dialect.identifier(log.columns.created_at.name)}"
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    within = " OR ".join(
        f"({created} >= {dialect.time(first, log.columns.time)} AND {created} < {dialect.time(last, log.columns.time)})"
        for first, last in spans
    )
    query = _SQL["user_hours"].format(
        arms=arms_sql(log, phases, start, end),
        hour=time.hour.format(bucket="own.bucket"),
        text=dialect.text,
        requests=_requests(log, time, start, end, f" AND {{}} AND ({within})", "JOIN"),
        integer=dialect.integer,
        double=dialect.double,
    )
    return check_length(dialect, query + "\n", len(phases))


def requests_by_hour_sql(log: Log, start: datetime, end: datetime) -> str:
    """The query whose rows are the number of requests of each hour of [start, end), known or not."""
    time, created = log.dialect.form(log.columns.time), log.dialect.identifier(log.columns.created_at.name)
    return _SQL["by_hour"].format(
        hour=time.hour.format(bucket="counted.bucket"),
        integer=log.dialect.integer,
        bucket=time.bucket.format(time=f"request.{created}"),
        table=log.table,
        created_at=created,
        start=log.dialect.time(start, log.columns.time),
        end=log.dialect.time(end, log.columns.time),
    )


def _moment_column(name: str) -> str:
    return f",\n    COALESCE(moments.{name}, 0) AS {name}"


def _moments(log: Log, time: TimeForm, oldest: datetime, start: datetime, end: datetime) -> str:
    dialect, kind = log.dialect, log.columns.time

    def bucket(at: datetime) -> str:
        return time.bucket.format(time=dialect.time(at, kind))

    return _SQL["user_moments"].format(
        integer=dialect.integer,
        double=dialect.double,
        totals=TOTALS,
        clamped=f"{dialect.greatest}(request.bucket, {bucket(start - HOUR)})" if oldest < start else "request.bucket",
        start_bucket=bucket(start),
        requests=_requests(log, time, oldest, end, " AND {}", "LEFT JOIN"),
    )


def _requests(log: Log, time: TimeForm, first: datetime, end: datetime, condition: str, join: str) -> str:
    dialect, mapped = log.dialect, log.columns
    user, known = user_sql(log)
    if known is not None:
        condition = condition.format(known)
    created = dialect.identifier(mapped.created_at.name)
    return _SQL["requests"].format(
        bucket=time.bucket.format(time=f"request.{created}"),
        created_at=created,
        user=user,
        converted=flag_sql(dialect, mapped.converted),
        is_error=flag_sql(dialect, mapped.is_error),
        latency=number_sql(dialect, mapped.latency_ms),
        value=number_sql(dialect, mapped.value),
        largest=dialect.largest,
        smallest=dialect.smallest,
        double=dialect.double,
        table=log.table,
        experiment=key_sql(dialect, mapped.experiment),
        variant=key_sql(dialect, mapped.variant),
        first=dialect.time(first, mapped.time),
        end=dialect.time(end, mapped.time),
        condition=condition,
        join=join,
        fence=dialect.fence,
    )


def user_sql(log: Log) -> tuple[str, str | None]:
    """The user of `request`, null where it is nobody known, and whether it is somebody; None: there are no users."""
    dialect, mapped = log.dialect, log.columns
    if not log.with_users or mapped.user_id is None:
        return f"CAST(NULL AS {dialect.text})", None
    user = f"request.{dialect.identifier(mapped.user_id.name)}"
    if mapped.user_id.kind is not Kind.TEXT:
        return user, f"{user} IS NOT NULL"
    known = dialect.not_blank(user)
    return f"CASE WHEN {known} THEN {dialect.user_key.format(user)} END", known


def flag_sql(dialect: Dialect, flag: Flag | None) -> str:
    """Whether a flag of `request` is set; never where the log has none."""
    if flag is None:
        return "1 = 0"
    name = f"request.{dialect.identifier(flag.column.name)}"
    if flag.operator is not None:
        operand = dialect.string(flag.text) if flag.text is not None else flag.number
        return f"{name} {flag.operator} {operand}"
    if flag.column.kind is Kind.INTEGER:
        return f"{name} = 0" if flag.is_negated else f"{name} <> 0"
    return f"NOT {name}" if flag.is_negated else name


def number_sql(dialect: Dialect, column: LogColumn | None) -> str:
    """A number of `request`; null where the log has no such column."""
    return f"CAST(NULL AS {dialect.double})" if column is None else f"request.{dialect.identifier(column.name)}"


def key_sql(dialect: Dialect, column: LogColumn) -> str:
    """A key of `request`, ready to be compared with a listed one."""
    name = f"request.{dialect.identifier(column.name)}"
    return name if column.kind in {Kind.TEXT, Kind.UUID} else f"CAST({name} AS {dialect.text})"


def arms_sql(log: Log, phases: pd.DataFrame, first: datetime, end: datetime) -> str:
    """The arms with their times, clipped to [first, end), as rows of literals."""
    mapped = log.columns
    experiments = phases["experiment_name" if mapped.experiment_by_name else "experiment_id"]
    variants = phases["variant_name" if mapped.variant_by_name else "variant_id"]
    started = [max(at, first) for at in _times(phases["started_at"], first)]
    ended = [min(at, end) for at in _times(phases["ended_at"], end)]
    numbers = pd.factorize(phases["phase_id"])[0]
    rows: list[tuple[object, ...]] = [
        (arm, *row) for arm, row in enumerate(zip(numbers, experiments, variants, started, ended, strict=True))
    ]
    columns = {
        "arm": Cell.WHOLE,
        "phase": Cell.WHOLE,
        "experiment_key": key_cell(mapped.experiment),
        "variant_key": key_cell(mapped.variant),
        "started": Cell.TIME,
        "ended": Cell.TIME,
    }
    # A rowset has at least one row; this one matches no request.
    no_arm = (-1, -1, NO_KEY, NO_KEY, end, end)
    return log.dialect.inline("listed", columns, rows or [no_arm], mapped.time)


def key_cell(column: LogColumn) -> Cell:
    """What a listed key is to be compared with `column`."""
    return Cell.UUID if column.kind is Kind.UUID else Cell.TEXT


def _times(column: pd.Series[Any], missing: datetime) -> list[datetime]:
    return [missing if pd.isna(at) else at.to_pydatetime() for at in column]
