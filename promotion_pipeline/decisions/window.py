"""One window of hours, from stored rollups to stored decisions: what the hourly run and every backfill do."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby

import pandas as pd

from promotion_pipeline.config import Mode, PromotionConfig, Settings
from promotion_pipeline.decisions.blocks import Block, Notes, Tell, blocks_of, digest, each_block, fingerprint_of
from promotion_pipeline.decisions.comparison import LabelDiff, compare_labels, ids_of
from promotion_pipeline.decisions.environment import Environment, environments, keep_environment
from promotion_pipeline.decisions.experiments import overridden, read_experiments
from promotion_pipeline.decisions.frames import WriteResult, replace_metrics, replace_significance, write_decisions
from promotion_pipeline.decisions.labels import label_beside, record_label
from promotion_pipeline.decisions.late import LateVerdict, forget_changes, late_changes, tell_late_verdicts
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.evaluation import Evaluation, Verdict, evaluate
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR, require_hours

log = logging.getLogger(__name__)
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
    late: tuple[LateVerdict, ...] = ()
    """Decisions of record that would be others now, and that nobody was told of before."""
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
    decided_only: bool = False,
    made_by: MadeBy = MadeBy.PERSON,
    progress: Callable[[int, int], None] | None = None,
    tell: Tell = log.warning,
) -> WindowResult:
    """Judge the hours in [start, end) from the stored rollups and store what was found.

    Each hour is judged on the phases, splits and thresholds that were in force at its end, the environment's too. The
    first decision about an hour becomes the record. With thresholds in `config`, or a `label`, it is a what-if:
    decisions go under the label (default 'latest') and none becomes the record; ask for no other table then. Decisions
    of record that would be others now are told once (`late`).

    A long window goes in blocks of experiments, each in transactions of its own and tried again by itself. An
    evaluation that was cut off and is started again leaves the same tables as one that was not.

    Args:
        experiments: names; none means every experiment that was running in the window.
        config: thresholds that override the environment's and the experiments' own.
        tables: what to write.
        decided_only: store decisions only beside those that are recorded.
        made_by: what asks; kept with each decision, and only some may lead to a promotion.
        progress: called with the experiments done and their number, after each block.
        tell: called with a line about a block that failed and is tried again.

    Raises:
        InputError: the window is naive, empty or not of whole hours; the label is reserved.
        NotFoundError: an experiment is unknown.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    beside = label_beside(label, record_label(store.settings))
    request = config or PromotionConfig()
    is_what_if = label is not None or bool(request.model_fields_set)
    with store.connect() as connection:
        ids = ids_of(connection, experiments) if experiments else None
    frame = overridden(read_experiments(store, start, end, ids), request)
    hours = pd.date_range(start, end, freq="h", inclusive="left", tz="UTC")
    blocks = blocks_of(frame, max(1, DECISIONS_PER_BLOCK // len(hours)), ids)
    wanted = {Table.DECISIONS} & set(tables) if is_what_if else set(tables)
    given = request.model_dump_json(include=request.model_fields_set)
    asked = digest(start, end, ids, given, label, sorted(wanted), record_label(store.settings))
    notes = Notes(store, asked) if len(blocks) > 1 else None
    writer = _Writer(store, start, end, wanted, beside, is_what_if, decided_only, notes, made_by)
    done, total = 0, frame["experiment_id"].nunique()
    for block in each_block(store, blocks, lambda block: writer.process(block, hours), tell):
        done += block.experiments["experiment_id"].nunique()
        if progress is not None:
            progress(done, total)
    if notes is not None:
        notes.forget()
    return writer.result(hours, frame, ids)


def redecide_late(store: Store, *, tell: Tell = log.warning) -> tuple[LateVerdict, ...]:
    """Decide again, beside the record, every decided hour whose sums have changed since, and tell what flips.

    From the first changed hour of an experiment on, to its newest decision: each is about all hours before it. A
    deployment in shadow mode leaves this to a live one.

    Raises:
        DependencyError: the database cannot be reached.
    """
    found: list[LateVerdict] = []
    if store.settings.mode is Mode.SHADOW:
        return ()
    for _, same_day in groupby(late_changes(store), key=lambda change: change.first_hour.astimezone(UTC).date()):
        changes = list(same_day)
        ids = [str(change.experiment_id) for change in changes]
        start = min(change.first_hour for change in changes)
        end = _newest_decided(store, ids)
        if end > start:
            names = [change.name for change in changes]
            tables = [Table.DECISIONS]
            found += evaluate_window(
                store, start, end, experiments=names, tables=tables, decided_only=True, tell=tell
            ).late
        forget_changes(store, changes)
    return tuple(found)


def what_if_diff(
    store: Store, label: str, start: datetime, end: datetime, experiments: Sequence[str] = ()
) -> LabelDiff | None:
    """What a what-if that was just stored changes of the record; None where there is nothing to compare.

    Raises as `compare_labels`.
    """
    try:
        return compare_labels(store, record_label(store.settings), label, start, end, experiments)
    except NotFoundError:
        return None


def _newest_decided(store: Store, ids: list[str]) -> datetime:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT max((SELECT max(hour) FROM eligibility_decisions WHERE experiment_id = wanted.id"
            " AND label = 'record')) AS hour FROM unnest(%s::uuid[]) AS wanted(id)",
            [ids],
        ).fetchone()
    assert row is not None
    hour: datetime = row["hour"]
    return hour + HOUR


def _settled_before(start: datetime, experiments: pd.DataFrame, layers: Sequence[Environment]) -> datetime:
    """Hours before it are in every decision from `start` on: with an attribution window that lies as far back."""
    windows = [layer.config.attribution_window_hours or 0.0 for layer in layers]
    if "attribution_window_hours" in experiments.columns:
        windows.extend(experiments["attribution_window_hours"].dropna().astype(float))
    return start - HOUR * math.ceil(max(windows))


class _Writer:
    """Reads, evaluates and writes block by block, and adds up what a person wants to know of it."""

    def __init__(
        self,
        store: Store,
        start: datetime,
        end: datetime,
        tables: set[Table],
        label: str,
        is_what_if: bool,
        decided_only: bool,
        notes: Notes | None,
        made_by: MadeBy,
    ) -> None:
        self._store, self._start, self._end = store, start, end
        self._label, self._is_what_if = label, is_what_if
        self._decided_only, self._notes, self._made_by = decided_only, notes, made_by
        self._counts: list[pd.DataFrame] = []
        self._newest: list[pd.DataFrame] = []
        self._rows = {table: 0 for table in Table if table in tables}
        self._recorded = self._relabelled = 0
        self._seconds = {"read": 0.0, "evaluate": 0.0, "write": 0.0}
        with store.connect() as connection:
            self._environments = environments(connection, store.settings, start, end)
            self._tables = tables - _not_a_shadows(connection, store.settings, start, end)

    def process(self, block: Block, hours: pd.DatetimeIndex) -> None:
        started = time.perf_counter()
        settled = _settled_before(self._start, block.experiments, self._environments)
        rollups = read_rollups(self._store, self._start, self._end, block.ids, settled_before=settled)
        read = time.perf_counter()
        found = _joined([_under(layer, rollups, block.experiments) for layer in self._environments])
        evaluated = time.perf_counter()
        self._write(found, block)
        self._counts.append(_counts(found.decisions, hours))
        self._newest.append(found.decisions[found.decisions["hour"] == hours[-1]])
        for name, seconds in (
            ("read", read - started),
            ("evaluate", evaluated - read),
            ("write", time.perf_counter() - evaluated),
        ):
            self._seconds[name] += seconds

    def _write(self, found: Evaluation, block: Block) -> None:
        fingerprint = ""
        if self._notes is not None:
            fingerprint = fingerprint_of([found.metrics, found.significance, found.decisions])
            if self._notes.is_written(block, fingerprint):
                return
        if Table.METRICS in self._tables:
            rows = replace_metrics(self._store, found.metrics, self._start, self._end, block.ids)
            self._rows[Table.METRICS] += rows
        if Table.SIGNIFICANCE in self._tables:
            rows = replace_significance(self._store, found.significance, self._start, self._end, block.ids)
            self._rows[Table.SIGNIFICANCE] += rows
        if Table.DECISIONS not in self._tables:
            return

        def within(connection: Connection, written: WriteResult) -> None:
            is_record = written.recorded and self._store.settings.mode is not Mode.SHADOW
            for layer in self._environments if is_record else ():
                keep_environment(connection, layer)
            if self._notes is not None:
                self._notes.note(connection, block, fingerprint)

        written = write_decisions(
            self._store,
            found.decisions,
            self._label,
            may_record=not self._is_what_if,
            decided_only=self._decided_only,
            made_by=self._made_by,
            record=record_label(self._store.settings),
            within=within,
        )
        self._recorded += written.recorded
        self._relabelled += written.relabelled
        self._rows[Table.DECISIONS] += written.recorded + written.relabelled

    def result(self, hours: pd.DatetimeIndex, experiments: pd.DataFrame, ids: list[str] | None) -> WindowResult:
        names = dict(zip(experiments["experiment_id"], experiments["name"], strict=True))
        newest = pd.concat(self._newest, ignore_index=True)
        newest.insert(0, "name", newest["experiment_id"].astype(object).map(names))
        late: tuple[LateVerdict, ...] = ()
        # Of a shadow's decisions nobody is told, and what it finds late is not taken from a live one.
        if self._relabelled and not self._is_what_if and self._store.settings.mode is not Mode.SHADOW:
            late = tell_late_verdicts(self._store, self._start, self._end, ids)
        return WindowResult(
            late=late,
            hours=pd.concat(self._counts).groupby(level=0).sum().reindex(hours, fill_value=0),
            newest=newest.sort_values("name", ignore_index=True),
            rows=dict(self._rows),
            recorded=self._recorded,
            relabelled=self._relabelled,
            seconds=dict(self._seconds),
        )


def _not_a_shadows(connection: Connection, settings: Settings, start: datetime, end: datetime) -> set[Table]:
    """The tables that a shadow leaves alone, since a live deployment has filled them for these hours."""
    if settings.mode is not Mode.SHADOW:
        return set()
    decided = connection.execute(
        "SELECT 1 FROM eligibility_decisions WHERE hour >= %s AND hour < %s AND label = 'record' LIMIT 1", [start, end]
    ).fetchone()
    return set() if decided is None else {Table.METRICS, Table.SIGNIFICANCE}


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

    None: every hour is decided. An experiment without variants is never decided, and nobody waits for it.

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
                    AND EXISTS (
                        SELECT 1 FROM ab_experiment_history AS known
                        WHERE known.experiment_id = phase.experiment_id AND known.variants <> '{}'
                            AND known.valid_from < passed.hour + interval '1 hour'
                            AND known.valid_until >= passed.hour + interval '1 hour')
                    AND NOT EXISTS (
                        SELECT 1 FROM eligibility_decisions AS decided
                        WHERE decided.hour = passed.hour AND decided.experiment_id = phase.experiment_id
                            AND decided.label = %(label)s))
            ORDER BY passed.hour LIMIT 1
            """,
            {"start": start, "last": end - HOUR, "label": record_label(store.settings)},
        ).fetchone()
    return None if row is None else row["hour"]
