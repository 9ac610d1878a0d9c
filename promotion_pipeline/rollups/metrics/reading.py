"""How a log is asked what users did for the metrics of its columns: the product's own table, or a log elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
import psycopg
from psycopg import sql

from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.postgresql.own_log import OWN_LOG
from promotion_pipeline.rollups.sql.metric_query import SLOT_PARTS, Slot, has_metric_column, metric_hours_sql
from promotion_pipeline.rollups.sql.rollup_query import Log
from promotion_pipeline.store.bulk import copy_typed
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

Spans: TypeAlias = Sequence[tuple[datetime, datetime]]
Load: TypeAlias = Callable[[psycopg.Connection[Any], pd.DataFrame, Spans, Sequence[Slot]], None]
"""Makes the temporary table `metric_read_raw`: what the log has of these phases in these hours."""


@dataclass(frozen=True)
class MetricReader:
    """A log, as far as metrics need it."""

    name: str
    """For messages."""
    log: Log
    load: Load
    reads_pasts: bool
    """Whether it says what users did before they were served: `ai_requests` does."""

    def has_column(self, column: str) -> bool:
        """Whether a metric can be made of this column."""
        return has_metric_column(self.log, column)


def table_reader() -> MetricReader:
    """The product's own table, read inside the database."""
    return MetricReader("ai_requests", OWN_LOG, _load_in_table, reads_pasts=True)


def engine_reader(source: RequestSource) -> MetricReader:
    """A log elsewhere: what users did comes back, as for the sums of the primary metric."""
    return MetricReader(source.config.place, source.log, partial(_load_from_engine, source), reads_pasts=False)


def _load_in_table(
    connection: psycopg.Connection[Any], phases: pd.DataFrame, spans: Spans, slots: Sequence[Slot]
) -> None:
    # Safe as plain text: it is made of our template, ids, times and checked numbers.
    query = sql.SQL(metric_hours_sql(OWN_LOG, phases, spans, slots))
    connection.execute(
        _SQL["load_in_table"].format(
            query=query,
            columns=sql.SQL("").join(sql.SQL(", found.{}").format(sql.Identifier(name)) for name in _names(slots)),
            phases=sql.Literal([str(key) for key in phases["phase_id"]]),
            variants=sql.Literal([str(key) for key in phases["variant_id"]]),
        )
    )


def _load_from_engine(
    source: RequestSource,
    connection: psycopg.Connection[Any],
    phases: pd.DataFrame,
    spans: Spans,
    slots: Sequence[Slot],
) -> None:
    source.require_columns(min(span[0] for span in spans), max(span[1] for span in spans))
    rows = source.run(metric_hours_sql(source.log, phases, spans, slots)).to_pandas().rename(columns=str.lower)
    arm = rows["arm"].to_numpy().astype("int64")
    users = rows["user_id"].astype("object")
    found = pd.DataFrame(
        {
            "hour": pd.to_datetime(rows["hour_number"].to_numpy().astype("int64") * 3600, unit="s", utc=True),
            "phase_id": phases["phase_id"].astype(str).to_numpy()[arm],
            "variant_id": phases["variant_id"].astype(str).to_numpy()[arm],
            # PostgreSQL keeps no text with a NUL: it becomes the character that stands for what cannot be shown.
            "user_id": users.where(users.isna(), users.astype(str).str.replace("\0", "\ufffd", regex=False)),
            "first_at": pd.to_datetime(rows["first_micros"].to_numpy().astype("int64"), unit="us", utc=True),
            **{name: rows[name] for name in _names(slots)},
        }
    )
    whole = {name: name.endswith(("_number", "_positive")) for name in _names(slots)}
    types = {
        "hour": "timestamp with time zone",
        "phase_id": "uuid",
        "variant_id": "uuid",
        "user_id": "text",
        "first_at": "timestamp with time zone",
        **{name: "bigint" if is_whole else "double precision" for name, is_whole in whole.items()},
    }
    for name, is_whole in whole.items():
        found[name] = found[name].to_numpy().astype("int64" if is_whole else "float64")
    copy_typed(connection, found, "metric_read_raw", types, "what users did for the metrics")


def _names(slots: Sequence[Slot]) -> list[str]:
    return [f"c{number}_{part}" for number in range(len(slots)) for part in SLOT_PARTS]
