"""Spans of experiments to an engine's rows and back: what the logs have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import pandas as pd
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.log import ARRIVALS_COLUMNS, SUMS_COLUMNS, RequestLog, Span, require_distinct
from promotion_pipeline.rollups.phases import read_phases
from promotion_pipeline.rollups.sql.dialect import EPOCH
from promotion_pipeline.rollups.sql.flags import NEVER
from promotion_pipeline.rollups.sql.rollup_query import Log, user_hours_sql
from promotion_pipeline.rollups.sql.span_query import (
    ARRIVAL_COUNTS,
    SPAN_COUNTS,
    SPAN_SUMS,
    SpanArm,
    arrivals_sql,
    counts_sql,
    ends_sql,
    sums_sql,
)
from promotion_pipeline.store.bulk import ids_filter, read_frame, time_literal
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

_TYPES = {
    "key": "str",
    "variant_id": "str",
    "is_recent": "bool",
    **dict.fromkeys(SPAN_COUNTS, "int64"),
    "errors": "Int64",
    **dict.fromkeys(SPAN_SUMS, "float64"),
}


@dataclass(frozen=True)
class _Asked:
    """The spans of a question, by where their answer is."""

    arms: list[SpanArm]
    """A row per span and variant of the experiments whose requests are in the log."""
    variants: list[str]
    """The variant's id by the number of its arm."""
    imported: list[Span]
    """The spans of experiments that only have imported sums."""


class SqlLog(RequestLog):
    """A log that is asked in SQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def _log(self) -> Log:
        """The log, known well enough to write its SQL."""

    @abstractmethod
    def _run(self, query: str) -> pd.DataFrame:
        """The rows of a query."""

    def _prepare(self, arms: Sequence[SpanArm]) -> None:
        """Refuse what cannot be answered of these spans, before the engine is asked."""

    def _prepare_window(self, start: datetime, end: datetime) -> None:
        """The same for a window."""

    def sums(self, spans: Sequence[Span]) -> pd.DataFrame:
        """The sums of each span by variant; one query for all spans."""
        asked = self._asked(spans)
        self._prepare(asked.arms)
        parts = [_imported_sums(self._store, asked.imported)] if asked.imported else []
        if asked.arms:
            log = self._log()
            rows = self._run(sums_sql(log, asked.arms)).rename(columns=str.lower)
            found = pd.DataFrame({name: rows[name] for name in (*SPAN_COUNTS, *SPAN_SUMS)})
            found["key"] = [spans[int(number)].key for number in rows["span"]]
            found["variant_id"] = [asked.variants[int(number)] for number in rows["arm"]]
            found["is_recent"] = rows["recent"].astype("int64") == 1
            if not log.columns.measures_errors:
                found["errors"] = pd.NA
            parts.append(found)
        filled = [part for part in parts if len(part)]
        frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(SUMS_COLUMNS))
        return frame.astype(_TYPES)[list(SUMS_COLUMNS)]

    def counts(self, spans: Sequence[Span]) -> dict[str, int]:
        """The requests of each span; one query for all spans."""
        asked = self._asked(spans)
        counted = {span.key: 0 for span in spans}
        self._prepare(asked.arms)
        if asked.arms:
            rows = self._run(counts_sql(self._log(), asked.arms)).rename(columns=str.lower)
            for number, requests in zip(rows["span"], rows["requests"], strict=True):
                counted[spans[int(number)].key] = int(requests)
        if asked.imported:
            imported = _imported_sums(self._store, asked.imported)
            for key, requests in imported.groupby("key")["requests"].sum().items():
                counted[str(key)] = int(requests)
        return counted

    def arrivals(self, spans: Sequence[Span]) -> pd.DataFrame:
        """Who arrived in each span by variant; one query for all spans."""
        asked = self._asked(spans)
        self._prepare(asked.arms)
        parts = []
        if asked.imported:
            sums = _imported_sums(self._store, asked.imported)
            parts.append(sums.groupby(["key", "variant_id"], as_index=False)[["requests"]].sum())
        if asked.arms:
            rows = self._run(arrivals_sql(self._log(), asked.arms)).rename(columns=str.lower)
            found = pd.DataFrame({name: rows[name] for name in ARRIVAL_COUNTS})
            found["key"] = [spans[int(number)].key for number in rows["span"]]
            found["variant_id"] = [asked.variants[int(number)] for number in rows["arm"]]
            parts.append(found)
        filled = [part for part in parts if len(part)]
        frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(ARRIVALS_COLUMNS))
        types = {"key": "str", "variant_id": "str", **dict.fromkeys(ARRIVAL_COUNTS, "int64")}
        return frame.reindex(columns=list(ARRIVALS_COLUMNS)).fillna(0).astype(types)

    def user_hours(self, experiment_id: UUID, start: datetime, end: datetime) -> pd.DataFrame:
        """What each known user did in each hour; one query."""
        require_hours(start, end)
        log = replace(self._log(), users=True)
        if log.columns.user_id is None:
            raise InputError(f"{self.name} names no users: map its column to user_id under [columns] of the source")
        phases = read_phases(self._store, start, end, [str(experiment_id)])
        self._prepare_window(start, end)
        rows = self._run(user_hours_sql(log, phases, [(start, end)])).rename(columns=str.lower)
        hours = pd.to_datetime(rows["hour_number"].astype("int64") * 3600, unit="s", utc=True)
        found = pd.DataFrame(
            {
                "user_id": rows["user_id"].astype("str"),
                "hour": hours.dt.as_unit("us"),
                "requests": rows["requests"].astype("int64"),
                "conversions": rows["conversions"].astype("int64"),
                "value": rows["value"].astype("float64"),
            }
        )
        return found.groupby(["user_id", "hour"], as_index=False, sort=False).sum()

    def ends(self) -> tuple[datetime, datetime] | None:
        """The times of the oldest and of the newest row."""
        with self._store.connect() as connection:
            end = database_now(connection) + HOUR
        found = self._run(ends_sql(self._log(), EPOCH, end)).rename(columns=str.lower).dropna().astype("int64")
        if found.empty:
            return None
        oldest, newest = (EPOCH + timedelta(microseconds=int(found[name].iloc[0])) for name in ("oldest", "newest"))
        return oldest, newest

    def columns(self) -> dict[str, str | None]:
        """The log's column for each of ours, of a flag with what is asked of it."""
        mapped = self._log().columns
        flags = {"converted": mapped.converted, "is_error": mapped.is_error}
        found: dict[str, str | None] = {
            "created_at": mapped.created_at.name,
            "experiment": mapped.experiment.name,
            "variant": mapped.variant.name,
            **{name: None if flag is None else flag.as_written for name, flag in flags.items()},
            **{
                name: None if column is None else column.name
                for name, column in (
                    ("latency_ms", mapped.latency_ms),
                    ("user_id", mapped.user_id),
                    ("value", mapped.value),
                )
            },
        }
        return found | ({"is_error": NEVER} if mapped.errors_are_never else {})

    def _asked(self, spans: Sequence[Span]) -> _Asked:
        require_distinct(spans)
        known = _read_variants(self._store, spans)
        mapped = self._log().columns if spans else None
        by_experiment = dict(list(known.groupby("experiment_id", sort=False)))
        asked = _Asked([], [], [])
        for number, span in enumerate(spans):
            variants = by_experiment.get(str(span.experiment_id))
            if variants is None or mapped is None:
                continue
            if variants["rollup_source"].iloc[0] == "imported":
                asked.imported.append(span)
                continue
            if span.since >= span.until:
                continue
            experiments = variants["experiment_name" if mapped.experiment_by_name else "experiment_id"]
            names = variants["variant_name" if mapped.variant_by_name else "variant_id"]
            for variant_id, experiment, variant in zip(variants["variant_id"], experiments, names, strict=True):
                asked.arms.append(
                    SpanArm(
                        span=number,
                        arm=len(asked.variants),
                        experiment_key=str(experiment),
                        variant_key=str(variant),
                        since=span.since,
                        until=span.until,
                        mature_before=span.mature_before or span.until,
                        recent_since=span.recent_since or span.until,
                    )
                )
                asked.variants.append(str(variant_id))
        return asked


def _read_variants(store: Store, spans: Sequence[Span]) -> pd.DataFrame:
    ids = sorted({str(span.experiment_id) for span in spans})
    return read_frame(
        store,
        _SQL["variants"].format(ids_filter(sql.SQL("experiment.id"), ids)),
    )


def _imported_sums(store: Store, spans: Sequence[Span]) -> pd.DataFrame:
    """The stored sums of hours that begin in their span; an hour is matured if all of it is."""
    wanted = sql.SQL(", ").join(
        sql.SQL("({}, {}::uuid, {}, {}, {}, {})").format(
            sql.Literal(span.key),
            sql.Literal(str(span.experiment_id)),
            *(
                time_literal(at)
                for at in (
                    span.since,
                    span.until,
                    span.mature_before or span.until + HOUR,
                    span.recent_since or span.until + HOUR,
                )
            ),
        )
        for span in spans
    )
    return read_frame(
        store,
        _SQL["imported_sums"].format(wanted),
    )
