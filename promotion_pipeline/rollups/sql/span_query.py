"""The SQL of questions about single experiments since an instant, filled in for an engine and a log.

One query answers any number of spans: their bounds and keys are inline rows that the requests are joined with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.rollups.sql.dialect import Cell
from promotion_pipeline.rollups.sql.rollup_query import (
    Log,
    check_length,
    flag_sql,
    key_cell,
    key_sql,
    number_sql,
    user_sql,
)
from promotion_pipeline.store.statements import texts

_SQL = texts(__file__)

SPAN_COUNTS = ("requests", "errors", "matured_requests", "conversions", "latency_samples")
ARRIVAL_COUNTS = ("requests", "user_requests", "users")
SPAN_SUMS = ("latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares")


@dataclass(frozen=True)
class SpanArm:
    """One variant of one span, as the log knows it."""

    span: int
    """The number of the span."""
    arm: int
    """The number of the variant."""
    experiment_key: str
    variant_key: str
    since: datetime
    until: datetime
    mature_before: datetime
    recent_since: datetime


def sums_sql(log: Log, arms: Sequence[SpanArm]) -> str:
    """The query whose rows are the sums of each span by variant and by whether they are recent.

    Raises:
        InputError: the engine has no such type or cannot be given a name, or the query is longer than it takes.
    """
    dialect, mapped = log.dialect, log.columns
    times = ("since", "until", "mature_before", "recent_since")
    query = _SQL["sums"].format(
        **_common(log, arms, times),
        double=dialect.double,
        largest=dialect.largest,
        smallest=dialect.smallest,
        converted=flag_sql(dialect, mapped.converted),
        is_error=flag_sql(dialect, mapped.is_error),
        latency=number_sql(dialect, mapped.latency_ms),
        value=number_sql(dialect, mapped.value),
        fence=dialect.fence,
    )
    return check_length(dialect, query, len(arms))


def counts_sql(log: Log, arms: Sequence[SpanArm]) -> str:
    """The query whose rows are the number of requests of each span that has any; raises as `sums_sql`."""
    return check_length(log.dialect, _SQL["counts"].format(**_common(log, arms, ("since", "until"))), len(arms))


def arrivals_sql(log: Log, arms: Sequence[SpanArm]) -> str:
    """The query whose rows are the requests and the users of each span by variant; raises as `sums_sql`."""
    common = _common(log, arms, ("since", "until"))
    query = _SQL["arrivals"].format(**common, user=user_sql(log)[0], fence=log.dialect.fence)
    return check_length(log.dialect, query, len(arms))


def ends_sql(log: Log, first: datetime, end: datetime) -> str:
    """The query whose one row is the times of the oldest and newest request of [first, end), or nulls.

    They are microseconds since 1970.
    """
    created, micros = log.dialect.identifier(log.columns.created_at.name), log.dialect.form(log.columns.time).micros
    return _SQL["ends"].format(
        first=log.dialect.time(first, log.columns.time),
        end=log.dialect.time(end, log.columns.time),
        oldest=micros.format(time="found.oldest"),
        newest=micros.format(time="found.newest"),
        created_at=created,
        table=log.table,
    )


def _common(log: Log, arms: Sequence[SpanArm], times: Sequence[str]) -> dict[str, str]:
    dialect, mapped = log.dialect, log.columns
    columns = {
        "span": Cell.WHOLE,
        "arm": Cell.WHOLE,
        "experiment_key": key_cell(mapped.experiment),
        "variant_key": key_cell(mapped.variant),
        **dict.fromkeys(times, Cell.TIME),
    }
    rows = [[getattr(arm, name) for name in columns] for arm in arms]
    return {
        "spans": dialect.inline("listed", columns, rows, mapped.time),
        "integer": dialect.integer,
        "created_at": dialect.identifier(mapped.created_at.name),
        "table": log.table,
        "experiment": key_sql(dialect, mapped.experiment),
        "variant": key_sql(dialect, mapped.variant),
        "first": dialect.time(min(arm.since for arm in arms), mapped.time),
        "end": dialect.time(max(arm.until for arm in arms), mapped.time),
    }
