"""One window of hours, from stored rollups to stored decisions: what the hourly run and every backfill do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import pandas as pd

from promotion_pipeline.config import Mode, PromotionConfig, Settings
from promotion_pipeline.decisions.beginning import tell_of_large
from promotion_pipeline.decisions.blocks import ExperimentBlock, Notes, Tell, blocks_of, digest, each_block
from promotion_pipeline.decisions.comparison import ids_of
from promotion_pipeline.decisions.environment import environments
from promotion_pipeline.decisions.experiments import overridden, read_experiments
from promotion_pipeline.decisions.judge import judged, outcome_counts, settled_before, states_metrics
from promotion_pipeline.decisions.labels import label_beside, record_label
from promotion_pipeline.decisions.late import LateVerdict, tell_late_verdicts
from promotion_pipeline.decisions.write import Table, WindowPlan, WrittenRows, write_evaluation
from promotion_pipeline.evaluation import Evaluation
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.rollups.metrics.stored import read_metric_rollups
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import require_hours

log = logging.getLogger(__name__)
DECISIONS_PER_BLOCK = 250_000
"""Decisions held in memory at once: a longer window goes in blocks of experiments, so memory stays flat."""


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
    rows_by_hour: pd.DataFrame = field(default_factory=pd.DataFrame)
    """A row an hour and a column a table: rows that the evaluation has."""
    metric_results: int = 0
    """Rows of `metric_results` written with those of `significance_results`."""
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
        tell: called with a line about a block that failed and is tried again; first with the size of a large window.

    Raises:
        InputError: the window is naive, empty or not of whole hours; the label is reserved.
        NotFoundError: an experiment is unknown.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    request = config or PromotionConfig()
    plan, ids = _plan(store, start, end, experiments, request, label, set(tables), decided_only, made_by)
    tell_of_large(store, start, end, ids, tell)
    frame = overridden(read_experiments(store, start, end, ids), request)
    blocks = blocks_of(frame, max(1, DECISIONS_PER_BLOCK // len(plan.hours)), ids)
    if len(blocks) == 1:
        plan = replace(plan, notes=None)
    total, parts = frame["experiment_id"].nunique(), []
    for part in each_block(store, blocks, partial(_decide, store, plan), tell):
        parts.append(part)
        if progress is not None:
            progress(sum(done.experiments for done in parts), total)
    if plan.notes is not None:
        plan.notes.forget()
    relabelled = sum(part.written.relabelled for part in parts)
    # Of a shadow's decisions nobody is told, and what it finds late is not taken from a live one.
    is_told = relabelled and not plan.is_what_if and store.settings.mode is not Mode.SHADOW
    return _result(plan, frame, parts, tell_late_verdicts(store, start, end, ids) if is_told else ())


@dataclass(frozen=True)
class _Part:
    """One block, decided and written."""

    experiments: int
    hours: pd.DataFrame
    newest: pd.DataFrame
    rows_by_hour: pd.DataFrame
    written: WrittenRows
    seconds: tuple[float, float, float]
    """Spent on reading, evaluating and writing."""


def _plan(
    store: Store,
    start: datetime,
    end: datetime,
    experiments: Sequence[str],
    request: PromotionConfig,
    label: str | None,
    tables: set[Table],
    decided_only: bool,
    made_by: MadeBy,
) -> tuple[WindowPlan, list[str] | None]:
    """What will be done, and the ids of the experiments that were named; None: all."""
    record = record_label(store.settings)
    beside = label_beside(label, record)
    is_what_if = label is not None or bool(request.model_fields_set)
    wanted = tables & {Table.DECISIONS} if is_what_if else tables
    with store.connect() as connection:
        ids = ids_of(connection, experiments) if experiments else None
        layers = environments(connection, store.settings, start, end)
        kept = _not_a_shadows(connection, store.settings, start, end)
    given = request.model_dump_json(include=request.model_fields_set)
    notes = Notes(store, digest(start, end, ids, given, label, sorted(wanted), record))
    plan = WindowPlan(
        start=start,
        end=end,
        layers=layers,
        wanted=frozenset(wanted),
        kept=kept,
        label=beside,
        is_what_if=is_what_if,
        decided_only=decided_only,
        made_by=made_by,
        notes=notes,
    )
    return plan, ids


def _decide(store: Store, plan: WindowPlan, block: ExperimentBlock) -> _Part:
    """A block's sums, what they say, and that written down."""
    started = time.perf_counter()
    settled = settled_before(plan.start, block.experiments, plan.layers)
    rollups = read_rollups(store, plan.start, plan.end, block.ids, settled_before=settled)
    metrics = None
    if states_metrics(block.experiments):
        metrics = read_metric_rollups(store, plan.start, plan.end, block.ids)
    read = time.perf_counter()
    found = judged(rollups, block.experiments, plan.layers, metrics)
    evaluated = time.perf_counter()
    written = write_evaluation(store, plan, block, found)
    return _Part(
        experiments=block.experiments["experiment_id"].nunique(),
        hours=outcome_counts(found.decisions, plan.hours),
        newest=found.decisions[found.decisions["hour"] == plan.hours[-1]],
        rows_by_hour=_row_counts(found, plan.hours),
        written=written,
        seconds=(read - started, evaluated - read, time.perf_counter() - evaluated),
    )


def _result(
    plan: WindowPlan, experiments: pd.DataFrame, parts: Sequence[_Part], late: tuple[LateVerdict, ...]
) -> WindowResult:
    names = dict(zip(experiments["experiment_id"], experiments["name"], strict=True))
    newest = pd.concat([part.newest for part in parts], ignore_index=True)
    newest.insert(0, "name", newest["experiment_id"].astype(object).map(names))
    recorded = sum(part.written.recorded for part in parts)
    relabelled = sum(part.written.relabelled for part in parts)
    rows = {
        Table.METRICS: sum(part.written.metrics for part in parts),
        Table.SIGNIFICANCE: sum(part.written.significance for part in parts),
        Table.DECISIONS: recorded + relabelled,
    }
    seconds = zip(("read", "evaluate", "write"), zip(*(part.seconds for part in parts), strict=True), strict=True)
    return WindowResult(
        hours=_by_hour([part.hours for part in parts], plan.hours),
        newest=newest.sort_values("name", ignore_index=True),
        rows={table: rows[table] for table in Table if table in plan.wanted},
        rows_by_hour=_by_hour([part.rows_by_hour for part in parts], plan.hours),
        metric_results=sum(part.written.metric_results for part in parts),
        recorded=recorded,
        relabelled=relabelled,
        late=late,
        seconds={name: sum(spent) for name, spent in seconds},
    )


def _row_counts(found: Evaluation, hours: pd.DatetimeIndex) -> pd.DataFrame:
    frames = {Table.METRICS: found.metrics, Table.SIGNIFICANCE: found.significance, Table.DECISIONS: found.decisions}
    counts = {table.value: frame["hour"].value_counts() for table, frame in frames.items()}
    return pd.DataFrame(counts, index=hours).fillna(0).astype("int64")


def _by_hour(parts: Sequence[pd.DataFrame], hours: pd.DatetimeIndex) -> pd.DataFrame:
    """What the blocks counted, added up: a row an hour."""
    return pd.concat(parts).groupby(level=0).sum().reindex(hours, fill_value=0)


def _not_a_shadows(connection: Connection, settings: Settings, start: datetime, end: datetime) -> frozenset[Table]:
    """The tables that a shadow leaves alone, since a live deployment has filled them for these hours."""
    if settings.mode is not Mode.SHADOW:
        return frozenset()
    decided = connection.execute(
        "SELECT 1 FROM eligibility_decisions WHERE hour >= %s AND hour < %s AND label = 'record' LIMIT 1", [start, end]
    ).fetchone()
    return frozenset(() if decided is None else (Table.METRICS, Table.SIGNIFICANCE))
