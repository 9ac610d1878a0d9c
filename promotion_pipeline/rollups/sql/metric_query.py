"""The SQL of what users did for the metrics of an experiment, filled in for an engine and a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from promotion_pipeline.rollups.sql.kinds import Kind, LogColumn
from promotion_pipeline.rollups.sql.rollup_query import Log, arms_sql, check_length, flag_sql, key_sql, user_sql
from promotion_pipeline.store.statements import texts

_SQL = texts(__file__)

SLOT_PARTS = ("number", "positive", "sum", "squares")
"""What `metric_hours_sql` gives of each column, as `c0_number`: of the numbers that can be counted with."""


@dataclass(frozen=True)
class Slot:
    """One column of the log, as metrics ask for it."""

    column: str
    """Our name: value, latency_ms, converted, is_error, or one of `metric_columns`."""
    cap: float | None = None
    """A request counts at most so much."""


def has_metric_column(log: Log, column: str) -> bool:
    """Whether the log can say what a metric of this column is made of."""
    return _number(log, column) is not None


def metric_hours_sql(
    log: Log, phases: pd.DataFrame, spans: Sequence[tuple[datetime, datetime]], slots: Sequence[Slot]
) -> str:
    """The query whose rows are what each user did in each hour of `spans` for each slot, by arm of `phases`.

    Raises:
        InputError: the engine has no such type or cannot be given a name, or the query is longer than it takes.
    """
    dialect, mapped = log.dialect, log.columns
    time, created = dialect.form(mapped.time), dialect.identifier(mapped.created_at.name)
    names = [f"c{number}" for number in range(len(slots))]
    sums = [_SQL["column_sums"].format(name=name, integer=dialect.integer).removeprefix("\n") for name in names]
    query = _SQL["metric_hours"].format(
        arms=arms_sql(log, phases, min(span[0] for span in spans), max(span[1] for span in spans)),
        hour=time.hour.format(bucket="own.bucket"),
        text=dialect.text,
        first=time.micros.format(time="own.first_created"),
        column_names="".join(f",\n    own.{name}_{part} AS {name}_{part}" for name in names for part in SLOT_PARTS),
        column_sums="".join(sums),
        bucket=time.bucket.format(time=f"request.{created}"),
        created_at=created,
        user=user_sql(log)[0],
        columns="".join(
            f",\n            {_capped(log, slot)} AS {name}" for name, slot in zip(names, slots, strict=True)
        ),
        table=log.table,
        experiment=key_sql(dialect, mapped.experiment),
        variant=key_sql(dialect, mapped.variant),
        within="(" + " OR ".join(_within(log, f"request.{created}", *span) for span in spans) + ")",
        fence=dialect.fence,
    )
    return check_length(dialect, query + "\n", len(phases))


def _within(log: Log, created: str, start: datetime, end: datetime) -> str:
    first, last = (log.dialect.time(at, log.columns.time) for at in (start, end))
    return f"({created} >= {first} AND {created} < {last})"


def _capped(log: Log, slot: Slot) -> str:
    number = _number(log, slot.column)
    assert number is not None
    if slot.cap is None:
        return number
    cap = f"CAST('{slot.cap!r}' AS {log.dialect.exact_type})"
    return f"CASE WHEN {number} > {cap} THEN {cap} ELSE {number} END"


def _number(log: Log, column: str) -> str | None:
    """A column of `request` as a number: 1 or 0 of a flag; None where the log does not say."""
    dialect, mapped = log.dialect, log.columns
    if column in {"converted", "is_error"}:
        if column == "is_error" and not mapped.measures_errors:
            return None
        flag = mapped.converted if column == "converted" else mapped.is_error
        return f"CAST(CASE WHEN {flag_sql(dialect, flag)} THEN 1 ELSE 0 END AS {dialect.exact_type})"
    known: dict[str, LogColumn | None] = {"value": mapped.value, "latency_ms": mapped.latency_ms, **mapped.more}
    found = known.get(column)
    if found is None:
        return None
    name = f"request.{dialect.identifier(found.name)}"
    if found.kind is Kind.BOOLEAN:
        return f"CAST(CASE WHEN {name} THEN 1 WHEN NOT {name} THEN 0 END AS {dialect.exact_type})"
    number = _SQL["number"].format(
        value=name, smallest=dialect.smallest, largest=dialect.largest, exact=dialect.exact_type
    )
    # A latency below zero is no measurement.
    return f"CASE WHEN {name} >= 0 THEN {number} END" if column == "latency_ms" else number
