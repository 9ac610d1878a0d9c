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
from promotion_pipeline.store.windows import HOUR

USER_COUNTS = tuple(name for name, kind in MOMENTS.items() if kind == "bigint")
USER_SUMS = tuple(name for name, kind in MOMENTS.items() if kind != "bigint")

# Squares are of doubles: an integer's square may overflow, and sums of decimals differ between the engines.
REQUESTS = """(
    SELECT {bucket} AS bucket, request.{created_at} AS created, arms.arm AS arm, arms.phase AS phase,
        {user} AS user_key,
        CASE WHEN {converted} THEN 1 END AS converted_flag,
        CASE WHEN {is_error} THEN 1 END AS error_flag,
        CASE WHEN {latency} > {smallest} AND {latency} < {largest} THEN CAST({latency} AS {double})
            WHEN {latency} >= 0 AND {latency} <= {smallest} THEN CAST(0 AS {double}) END AS latency,
        CASE WHEN ABS({value}) > {smallest} AND ABS({value}) < {largest} THEN CAST({value} AS {double})
            WHEN ABS({value}) <= {smallest} THEN CAST(0 AS {double}) END AS amount
    FROM {table} AS request
    {join} arms
        ON arms.experiment_key = {experiment} AND arms.variant_key = {variant}
        AND request.{created_at} >= arms.started AND request.{created_at} < arms.ended
    WHERE request.{created_at} >= {first} AND request.{created_at} < {end}{condition}{fence}
) AS request"""

HOURLY = """WITH arms AS (
    SELECT * FROM {arms}
)
SELECT {hour} AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, {newest} AS newest_request_micros{moment_columns}
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS {integer}) AS requests,
        CAST(COUNT(request.converted_flag) AS {integer}) AS conversions,
        CAST(COUNT(request.error_flag) AS {integer}) AS errors,
        CAST(COUNT(request.latency) AS {integer}) AS latency_samples,
        CAST(COUNT(request.user_key) AS {integer}) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS {integer}) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS {double}) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS {double}) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS {double}) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM {requests}
    GROUP BY request.bucket, request.arm
) AS hourly{moments}
"""

# d, y, v are a user's totals up to and including the hour; before it they are less the hour's own share. Hours before
# the window count as one, whose row is left out: a user has one row of the past, however long it is. With the first
# request elsewhere all visits so far become those of a user who met several variants; that hour's row notes them.
USER_MOMENTS = """
LEFT JOIN (
    SELECT running.bucket AS bucket, running.arm AS arm,
        CAST(COUNT(CASE WHEN running.d = running.dd THEN 1 END) AS {integer}) AS new_users,
        CAST(SUM(running.y * running.y - (running.y - running.dy) * (running.y - running.dy)) AS {integer})
            AS user_conversions_sum_squares,
        CAST(SUM(running.d * running.d - (running.d - running.dd) * (running.d - running.dd)) AS {integer})
            AS user_requests_sum_squares,
        CAST(SUM(running.y * running.d - (running.y - running.dy) * (running.d - running.dd)) AS {integer})
            AS user_conversions_requests_sum_products,
        CAST(COUNT(CASE WHEN running.d = running.dd AND running.first_arm <> running.arm THEN 1 END) AS {integer})
            AS crossed_users,
        CAST(SUM(running.v * running.v - (running.v - running.dv) * (running.v - running.dv)) AS {double})
            AS user_value_sum_squares,
        CAST(SUM(running.v * running.d - (running.v - running.dv) * (running.d - running.dd)) AS {double})
            AS user_value_requests_sum_products,
        CAST(SUM(CASE WHEN running.elsewhere = 0 THEN 0
            WHEN running.elsewhere = running.dd AND running.arm <> running.first_arm THEN running.visits
            ELSE running.dd END) AS {integer}) AS crossed_requests,
        CAST(SUM(POWER(CAST(running.d AS {double}), 16) - POWER(CAST(running.d - running.dd AS {double}), 16))
            AS {double}) AS user_requests_sum_sixteenth_powers
    FROM (
        SELECT met.bucket AS bucket, met.arm AS arm, met.dd AS dd, met.dy AS dy, met.dv AS dv,
            met.d AS d, met.y AS y, met.v AS v, met.first_arm AS first_arm, met.visits AS visits,
            CAST(SUM(CASE WHEN met.arm = met.first_arm THEN 0 ELSE met.dd END) OVER (
                PARTITION BY met.phase, met.user_key ORDER BY met.bucket, met.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {integer}) AS elsewhere
        FROM (
        SELECT own.phase AS phase, own.user_key AS user_key,
            own.bucket AS bucket, own.arm AS arm, own.dd AS dd, own.dy AS dy, own.dv AS dv,
            CAST(SUM(own.dd) OVER ({totals}) AS {integer}) AS d,
            CAST(SUM(own.dy) OVER ({totals}) AS {integer}) AS y,
            SUM(own.dv) OVER ({totals}) AS v,
            FIRST_VALUE(own.arm) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_arm,
            CAST(SUM(own.dd) OVER (
                PARTITION BY own.phase, own.user_key ORDER BY own.bucket, own.arm
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {integer}) AS visits
        FROM (
            SELECT {clamped} AS bucket, request.arm AS arm, request.phase AS phase, request.user_key AS user_key,
                CAST(COUNT(*) AS {integer}) AS dd,
                CAST(COUNT(request.converted_flag) AS {integer}) AS dy,
                CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS dv
            FROM {requests}
            WHERE request.arm IS NOT NULL
            GROUP BY {clamped}, request.arm, request.phase, request.user_key
        ) AS own
        ) AS met
    ) AS running
    WHERE running.bucket >= {start_bucket}
    GROUP BY running.bucket, running.arm
) AS moments ON moments.bucket = hourly.bucket AND moments.arm = hourly.arm"""
# What each user did in an hour: kept on our side, so that no later hour reads the users' past.
USER_HOURS = """WITH arms AS (
    SELECT * FROM {arms}
)
SELECT {hour} AS hour_number, own.arm AS arm, CAST(own.user_key AS {text}) AS user_id, own.dd AS requests,
    own.dy AS conversions, own.dv AS value
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm, request.user_key AS user_key,
        CAST(COUNT(*) AS {integer}) AS dd,
        CAST(COUNT(request.converted_flag) AS {integer}) AS dy,
        CAST(COALESCE(SUM(request.amount), 0) AS {double}) AS dv
    FROM {requests}
    WHERE request.arm IS NOT NULL
    GROUP BY request.bucket, request.arm, request.user_key
) AS own
"""
TOTALS = """PARTITION BY own.phase, own.user_key, own.arm ORDER BY own.bucket
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"""
BY_HOUR = """SELECT {hour} AS hour_number, counted.requests AS requests
FROM (
    SELECT request.bucket AS bucket, CAST(COUNT(*) AS {integer}) AS requests
    FROM (
        SELECT {bucket} AS bucket FROM {table} AS request
        WHERE request.{created_at} >= {start} AND request.{created_at} < {end}
    ) AS request
    GROUP BY request.bucket
) AS counted
"""
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
    query = HOURLY.format(
        arms=_arms(log, phases, oldest, end),
        hour=time.hour.format(bucket="hourly.bucket"),
        newest=time.micros.format(time="hourly.newest"),
        moment_columns="".join(_moment_column(name) for name in (*USER_COUNTS, *USER_SUMS)) if with_moments else "",
        requests=_requests(log, time, start, end, "", "JOIN" if known_only else "LEFT JOIN"),
        moments=_moments(log, time, oldest, start, end) if with_moments else "",
        integer=dialect.integer,
        double=dialect.double,
    )
    return check_length(dialect, query, len(phases))


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
    query = USER_HOURS.format(
        arms=_arms(log, phases, start, end),
        hour=time.hour.format(bucket="own.bucket"),
        text=dialect.text,
        requests=_requests(log, time, start, end, f" AND {{}} AND ({within})", "JOIN"),
        integer=dialect.integer,
        double=dialect.double,
    )
    return check_length(dialect, query, len(phases))


def requests_by_hour_sql(log: Log, start: datetime, end: datetime) -> str:
    """The query whose rows are the number of requests of each hour of [start, end), known or not."""
    time, created = log.dialect.form(log.columns.time), log.dialect.identifier(log.columns.created_at.name)
    return BY_HOUR.format(
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

    return USER_MOMENTS.format(
        integer=dialect.integer,
        double=dialect.double,
        totals=TOTALS,
        clamped=f"GREATEST(request.bucket, {bucket(start - HOUR)})" if oldest < start else "request.bucket",
        start_bucket=bucket(start),
        requests=_requests(log, time, oldest, end, " AND {}", "LEFT JOIN"),
    )


def _requests(log: Log, time: TimeForm, first: datetime, end: datetime, condition: str, join: str) -> str:
    dialect, mapped = log.dialect, log.columns
    user = f"CAST(NULL AS {dialect.text})"
    if log.with_users and mapped.user_id is not None:
        user = f"request.{dialect.identifier(mapped.user_id.name)}"
        is_text = mapped.user_id.kind is Kind.TEXT
        known = dialect.not_blank(user) if is_text else f"{user} IS NOT NULL"
        condition = condition.format(known)
        user = f"CASE WHEN {known} THEN {dialect.user_key.format(user)} END" if is_text else user
    created = dialect.identifier(mapped.created_at.name)
    return REQUESTS.format(
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


def _arms(log: Log, phases: pd.DataFrame, first: datetime, end: datetime) -> str:
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
    # A rowset has at least one row; this one matches nothing.
    nobody = (-1, -1, NO_KEY, NO_KEY, end, end)
    return log.dialect.inline("listed", columns, rows or [nobody], mapped.time)


def key_cell(column: LogColumn) -> Cell:
    """What a listed key is to be compared with `column`."""
    return Cell.UUID if column.kind is Kind.UUID else Cell.TEXT


def _times(column: pd.Series[Any], missing: datetime) -> list[datetime]:
    return [missing if pd.isna(at) else at.to_pydatetime() for at in column]
