"""One window of hours, from stored rollups to stored decisions: what the hourly run and every backfill do."""

from __future__ import annotations

import dataclasses
import difflib
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import pandas as pd

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.evaluation import Evaluation, Verdict, evaluate
from promotion_pipeline.store.bulk import HOUR, require_hours
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.environment import Environment, environments
from promotion_pipeline.store.experiments import overridden, read_experiments
from promotion_pipeline.store.frames import (
    read_rollups,
    replace_metrics,
    replace_significance,
    write_decisions,
)

DECISIONS_PER_BLOCK = 250_000
"""Decisions held in memory at once: a longer window goes in blocks of experiments, so memory stays flat."""


class Table(StrEnum):
    """What an evaluation writes."""

    METRICS = "variant_metrics"
    """Cumulative counts and rates of every variant."""
    SIGNIFICANCE = "significance_results"
    """Every treatment against control."""
    DECISIONS = "eligibility_decisions"
    """The verdict of every experiment."""


@dataclass(frozen=True)
class WindowResult:
    """What `evaluate_window` found and wrote."""

    hours: pd.DataFrame
    """A row an hour, in order: `experiments`, `eligible`, `promotable`, `waiting` (eligible, not promotable), and the
    number of experiments by verdict."""
    newest: pd.DataFrame
    """The decisions about the newest hour with the experiments' names, by name."""
    rows: dict[Table, int] = field(default_factory=dict)
    """Rows written by table."""
    recorded: int = 0
    """Decisions that became the decision of record."""
    relabelled: int = 0
    """Decisions stored beside their record, under the label."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent on `read`, `evaluate` and `write`."""


def evaluate_window(
    store: Store,
    start: datetime,
    end: datetime,
    *,
    experiments: Sequence[str] = (),
    config: PromotionConfig | None = None,
    label: str | None = None,
    tables: Collection[Table] = tuple(Table),
    progress: Callable[[int, int], None] | None = None,
) -> WindowResult:
    """Judge the hours in [start, end) from the stored rollups and store what was found.

    Each hour is judged on the phases, splits and thresholds that were in force at its end, the environment's too. The
    first decision about an hour becomes the record. With thresholds in `config`, or a `label`, it is a what-if:
    decisions go under the label (default 'latest') and none becomes the record; ask for no other table then. Every
    block of experiments is written in transactions of its own, and doing it again gives the same tables.

    Args:
        experiments: names; none means every experiment that was running in the window.
        config: thresholds that override the environment's and the experiments' own.
        tables: what to write.
        progress: called with the experiments done and their number, after each block.

    Raises:
        InputError: the window is naive, empty or not of whole hours; the label is reserved.
        NotFoundError: an experiment is unknown.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    request = config or PromotionConfig()
    is_what_if = label is not None or bool(request.model_fields_set)
    ids = _ids_of(store, experiments) if experiments else None
    frame = overridden(read_experiments(store, start, end, ids), request)
    hours = pd.date_range(start, end, freq="h", inclusive="left", tz="UTC")
    writer = _Writer(
        store, start, end, {Table.DECISIONS} & set(tables) if is_what_if else set(tables), label, is_what_if
    )
    done, total = 0, frame["experiment_id"].nunique()
    for block, block_ids in _blocks(frame, len(hours), ids):
        writer.process(block, block_ids, hours)
        done += block["experiment_id"].nunique()
        if progress is not None:
            progress(done, total)
    return writer.result(hours, frame)


def _ids_of(store: Store, names: Sequence[str]) -> list[str]:
    with store.connect() as connection:
        known = {r["name"]: str(r["id"]) for r in connection.execute("SELECT id, name FROM ab_experiments").fetchall()}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {len(known)} experiments"
            raise NotFoundError(f"no experiment is called {name!r}; {hint}")
    return [known[name] for name in names]


def _blocks(frame: pd.DataFrame, hours: int, ids: list[str] | None) -> Iterator[tuple[pd.DataFrame, list[str] | None]]:
    """The experiments in blocks, each with the ids that its rows replace; one block replaces whatever is there."""
    distinct = list(frame["experiment_id"].unique())
    size = max(1, DECISIONS_PER_BLOCK // hours)
    if len(distinct) <= size:
        yield frame, ids
        return
    for first in range(0, len(distinct), size):
        chosen = [str(value) for value in distinct[first : first + size]]
        yield frame[frame["experiment_id"].isin(chosen)], chosen


def _settled_before(start: datetime, experiments: pd.DataFrame, layers: Sequence[Environment]) -> datetime:
    """Hours before it are in every decision from `start` on: with an attribution window that lies as far back."""
    windows = [layer.config.attribution_window_hours or 0.0 for layer in layers]
    if "attribution_window_hours" in experiments.columns:
        windows.extend(experiments["attribution_window_hours"].dropna().astype(float))
    return start - HOUR * math.ceil(max(windows))


class _Writer:
    """Reads, evaluates and writes block by block, and adds up what a person wants to know of it."""

    def __init__(
        self, store: Store, start: datetime, end: datetime, tables: set[Table], label: str | None, is_what_if: bool
    ) -> None:
        self._store, self._start, self._end = store, start, end
        self._tables, self._label, self._is_what_if = tables, label, is_what_if
        self._counts: list[pd.DataFrame] = []
        self._newest: list[pd.DataFrame] = []
        self._rows = {table: 0 for table in Table if table in tables}
        self._recorded = self._relabelled = 0
        self._seconds = {"read": 0.0, "evaluate": 0.0, "write": 0.0}
        with store.connect() as connection:
            self._environments = environments(connection, store.settings, start, end)

    def process(self, experiments: pd.DataFrame, ids: list[str] | None, hours: pd.DatetimeIndex) -> None:
        started = time.perf_counter()
        settled = _settled_before(self._start, experiments, self._environments)
        rollups = read_rollups(self._store, self._start, self._end, ids, settled_before=settled)
        read = time.perf_counter()
        found = _joined([_under(layer, rollups, experiments) for layer in self._environments])
        evaluated = time.perf_counter()
        self._write(found, ids)
        self._counts.append(_counts(found.decisions, hours))
        self._newest.append(found.decisions[found.decisions["hour"] == hours[-1]])
        for name, seconds in (
            ("read", read - started),
            ("evaluate", evaluated - read),
            ("write", time.perf_counter() - evaluated),
        ):
            self._seconds[name] += seconds

    def _write(self, found: Evaluation, ids: list[str] | None) -> None:
        if Table.METRICS in self._tables:
            rows = replace_metrics(self._store, found.metrics, self._start, self._end, ids)
            self._rows[Table.METRICS] += rows
        if Table.SIGNIFICANCE in self._tables:
            rows = replace_significance(self._store, found.significance, self._start, self._end, ids)
            self._rows[Table.SIGNIFICANCE] += rows
        if Table.DECISIONS in self._tables:
            written = write_decisions(
                self._store,
                found.decisions,
                self._label,
                may_record=not self._is_what_if,
                environments=self._environments,
            )
            self._recorded += written.recorded
            self._relabelled += written.relabelled
            self._rows[Table.DECISIONS] += written.recorded + written.relabelled

    def result(self, hours: pd.DatetimeIndex, experiments: pd.DataFrame) -> WindowResult:
        names = dict(zip(experiments["experiment_id"], experiments["name"], strict=True))
        newest = pd.concat(self._newest, ignore_index=True)
        newest.insert(0, "name", newest["experiment_id"].astype(object).map(names))
        return WindowResult(
            hours=pd.concat(self._counts).groupby(level=0).sum().reindex(hours, fill_value=0),
            newest=newest.sort_values("name", ignore_index=True),
            rows=dict(self._rows),
            recorded=self._recorded,
            relabelled=self._relabelled,
            seconds=dict(self._seconds),
        )


def _under(layer: Environment, rollups: pd.DataFrame, experiments: pd.DataFrame) -> Evaluation:
    """The evaluation of the hours that an environment is in force for."""
    # Without gaps: the sums of what lies between two hours would be added in another order.
    span = pd.date_range(layer.hours[0], layer.hours[-1], freq="h")
    found = evaluate(rollups, experiments, hours=span, config=layer.config)
    if len(span) == len(layer.hours):
        return found
    parts = (getattr(found, field.name) for field in dataclasses.fields(Evaluation))
    return Evaluation(*(part[part["hour"].isin(layer.hours)] for part in parts))


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluations of different hours as one."""
    if len(parts) == 1:
        return parts[0]
    return Evaluation(
        *(
            pd.concat([getattr(part, field.name) for part in parts], ignore_index=True)
            for field in dataclasses.fields(Evaluation)
        )
    )


def _counts(decisions: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """How many experiments had which outcome, a row an hour."""
    at = decisions["hour"]
    counts = pd.DataFrame(
        {
            "experiments": at.value_counts(),
            "promotable": at[decisions["is_promotable"]].value_counts(),
            "waiting": at[decisions["is_eligible"] & ~decisions["is_promotable"]].value_counts(),
        }
        | {verdict.value: at[decisions["verdict"] == verdict].value_counts() for verdict in Verdict},
        index=hours,
    )
    return counts.fillna(0).astype("int64")


def first_undecided_hour(store: Store, start: datetime, end: datetime) -> datetime | None:
    """The first hour in [start, end) at whose end an experiment was running that has no decision of record.

    None: every hour is decided.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    with store.connect() as connection:
        row = connection.execute(
            """
            SELECT passed.hour FROM generate_series(%(start)s::timestamptz, %(last)s, '1 hour') AS passed(hour)
            WHERE EXISTS (
                SELECT 1 FROM ab_experiment_phases AS phase
                WHERE phase.is_running AND phase.started_at < passed.hour + interval '1 hour'
                    AND coalesce(phase.ended_at, 'infinity') >= passed.hour + interval '1 hour'
                    AND NOT EXISTS (
                        SELECT 1 FROM eligibility_decisions AS decided
                        WHERE decided.hour = passed.hour AND decided.experiment_id = phase.experiment_id
                            AND decided.label = 'record'))
            ORDER BY passed.hour LIMIT 1
            """,
            {"start": start, "last": end - HOUR},
        ).fetchone()
    return None if row is None else row["hour"]
