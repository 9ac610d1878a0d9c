"""The one way from stored requests to an answer about experiments; records nothing.

`check`, the sweep, `promote_winner` and the watch of ramps all come through here: live rollups, one call of
`evaluate` for every experiment asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import pandas as pd

from promotion_pipeline.config import PromotionConfig, Settings
from promotion_pipeline.decisions.environment import environment_of
from promotion_pipeline.decisions.experiments import overridden, read_experiments, read_present_experiments
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.decisions.phases import unnoted_experiments
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.evaluation.stricter import Overruled
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.judge.eligibility import eligibility_of
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.judge.problems import problems_of, set_up_errors
from promotion_pipeline.promotion.judge.rows import by_experiment, records
from promotion_pipeline.promotion.judge.thresholds import judged_on
from promotion_pipeline.promotion.judge.traffic import present_traffic
from promotion_pipeline.promotion.record.experiments import (
    Experiment,
    experiments_named,
    running_experiments,
)
from promotion_pipeline.promotion.record.inputs import as_of_hour
from promotion_pipeline.promotion.record.models import PromotionEligibility
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.record.watched import Alarm
from promotion_pipeline.promotion.watch.alarms import alarms_in
from promotion_pipeline.rollups import completeness, live_rollups, log_name
from promotion_pipeline.rollups.usual import hour_traffic
from promotion_pipeline.store.bulk import Source
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR

FEW = 20
WATCHED_SUMS = ["latency_samples", "latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares"]


@dataclass(frozen=True, kw_only=True)
class Assessment(Judged):
    """What was judged about an experiment of the tables, and the answer that follows from it."""

    experiment: Experiment
    phase_id: UUID | None
    significance: tuple[dict[str, Any], ...] = ()
    request: PromotionConfig | None = None
    """The thresholds that the request brought."""
    overruled: tuple[Overruled, ...] = ()
    """Which of them the experiment's own overruled."""
    is_overridden: bool = False
    """Decided with other thresholds than the experiment's own, so this is not the decision of record."""

    @cached_property
    def eligibility(self) -> PromotionEligibility:
        """The answer in words and numbers."""
        return eligibility_of(self)


@dataclass(frozen=True)
class Judgement:
    """Assessments in the order asked for, and the rollups behind them."""

    as_of: datetime
    assessments: tuple[Assessment, ...]
    rollups: pd.DataFrame
    decisions: pd.DataFrame
    """As `evaluate` gave them."""


def assess(
    store: Store,
    experiment_names: Sequence[str] | None,
    config: PromotionConfig | None = None,
    as_of: datetime | None = None,
) -> list[PromotionEligibility]:
    """The eligibility of the named experiments (None: of every running one), from one evaluation.

    Raises:
        NotFoundError: a name is unknown.
        InputError: `as_of` is naive or in the future.
        DependencyError: the database is down.
    """
    assessments = judge(store, experiment_names, config, as_of).assessments
    with store.connect() as connection, database_errors():
        alarms = alarms_in(connection, [assessment.experiment.id for assessment in assessments])
    return [with_alarms(assessment, alarms) for assessment in assessments]


def with_alarms(assessment: Assessment, alarms: Mapping[UUID, tuple[Alarm, ...]]) -> PromotionEligibility:
    """The eligibility with what is wrong with the experiment's live promotion at this moment."""
    found = alarms.get(assessment.experiment.id, ())
    return assessment.eligibility.model_copy(update={"alarms": found}) if found else assessment.eligibility


def judge(
    store: Store,
    experiment_names: Sequence[str] | None,
    request: PromotionConfig | None = None,
    as_of: datetime | None = None,
    made_by: MadeBy | None = None,
) -> Judgement:
    """`assess` with everything behind the answers; `made_by` as `judge_experiments`."""
    with store.connect() as connection, database_errors():
        if experiment_names is None:
            experiments = running_experiments(connection)
        else:
            experiments = experiments_named(connection, experiment_names)
        # A bulk read opens connections of its own, which pays only for many rows.
        source: Source = connection if len(experiments) <= FEW else store
        compare = as_of is None and experiment_names is not None and len(experiments) <= FEW
        return judge_experiments(
            store, connection, experiments, request, as_of, source=source, made_by=made_by, compare=compare
        )


def judge_experiments(
    store: Store,
    connection: Connection,
    experiments: Sequence[Experiment],
    request: PromotionConfig | None,
    as_of: datetime | None,
    *,
    source: Source,
    compare: bool = False,
    afresh: bool = False,
    made_by: MadeBy | None = None,
) -> Judgement:
    """Evaluate experiments that were read already.

    Without `as_of` each is judged on its open phase and present thresholds: what can be acted upon now. With one, on
    the phase and the thresholds that were in force then. `source` is the store for many experiments (bulk reads), or
    the connection that holds a lock. `compare` counts the requests of those that are eligible in the log; `afresh`
    sums up the log instead of reading what was rolled up. `made_by` says who acts; None: whoever made the record."""
    hour = as_of_hour(connection, as_of)
    now = database_now(connection) if as_of is None else hour
    settings, experiments, phases = _in_force(store.settings, connection, experiments, hour, is_now=as_of is None)
    rollups, frame = _frames(store, source, phases, hour, is_now=as_of is None, afresh=afresh)
    configs = {e.id: judged_on(settings, e, request, made_by) for e in experiments}
    frame = overridden(frame, request, {str(key): own.used for key, own in configs.items() if own.used is not None})
    found = evaluate(rollups, frame, hours=pd.DatetimeIndex([hour - HOUR]), config=settings.thresholds)
    decisions = {UUID(row["experiment_id"]): row for row in records(found.decisions)}
    metrics, significance = by_experiment(found.metrics), by_experiment(found.significance)
    watermarks, traffic = _watermarks(rollups), present_traffic(rollups, frame, hour)
    newest_hours = hour_traffic(rollups, _started(frame), hour - HOUR)
    eligible = [phases[key] for key, row in decisions.items() if compare and row["is_eligible"] and key in phases]
    complete = completeness(store, connection, eligible, rollups, hour) if eligible else {}
    silent = [e for e in experiments if e.id not in decisions]
    problems = set_up_errors(frame) | problems_of(connection, silent, hour, as_of is None)
    makers, unnoted = _standing(connection, settings, experiments, hour, made_by, is_now=as_of is None)
    assessments = tuple(
        Assessment(
            experiment=experiment,
            as_of=hour,
            phase_id=phases.get(experiment.id),
            config=configs[experiment.id].used,
            decision=decisions.get(experiment.id),
            metrics=tuple(metrics.get(experiment.id, ())),
            significance=tuple(significance.get(experiment.id, ())),
            watermark=watermarks.get(experiment.id),
            newest_hour=newest_hours.get(str(experiment.id)),
            problem=problems.get(experiment.id) or configs[experiment.id].problem,
            is_enabled=store.settings.enabled,
            now=now,
            log=log_name(store.settings),
            completeness=complete.get(phases[experiment.id]) if experiment.id in phases else None,
            request=request,
            overruled=configs[experiment.id].overruled,
            is_overridden=configs[experiment.id].is_overridden,
            made_by=makers.get(experiment.id, MadeBy.AUTOMATION),
            is_phase_current=experiment.id not in unnoted,
            traffic=traffic,
        )
        for experiment in experiments
    )
    return Judgement(hour, assessments, rollups, found.decisions)


def _in_force(
    settings: Settings, connection: Connection, experiments: Sequence[Experiment], hour: datetime, *, is_now: bool
) -> tuple[Settings, Sequence[Experiment], dict[UUID, UUID]]:
    """The environment, the experiments and their phases: as they stand, or as they were in force at an as-of."""
    if is_now:
        return settings, experiments, _open_phases(experiments)
    thresholds = environment_of(connection, settings, hour - HOUR)
    return (
        settings.model_copy(update={"thresholds": thresholds}),
        _as_they_were(connection, experiments, hour),
        _phases_at(connection, experiments, hour),
    )


def _started(frame: pd.DataFrame) -> dict[str, datetime]:
    """When the phases that are judged began, by experiment; imported sums come when they come."""
    own = frame[~frame["allows_corrections"].astype(bool)].drop_duplicates("experiment_id")
    return dict(zip(own["experiment_id"].astype(str), own["started_at"], strict=True))


def _open_phases(experiments: Sequence[Experiment]) -> dict[UUID, UUID]:
    return {e.id: e.phase_id for e in experiments if e.phase_id is not None and e.phase_is_running}


def _phases_at(connection: Connection, experiments: Sequence[Experiment], hour: datetime) -> dict[UUID, UUID]:
    """The running phase that was current at an as-of: begun before it, not ended before it."""
    rows = connection.execute(
        "SELECT experiment_id, id FROM ab_experiment_phases WHERE experiment_id = ANY(%(ids)s) AND is_running"
        " AND started_at < %(hour)s AND (ended_at IS NULL OR ended_at >= %(hour)s)",
        {"ids": [e.id for e in experiments], "hour": hour},
    )
    return {row["experiment_id"]: row["id"] for row in rows}


def _as_they_were(connection: Connection, experiments: Sequence[Experiment], hour: datetime) -> list[Experiment]:
    """The experiments with the thresholds that were in force at an as-of."""
    rows = connection.execute(
        "SELECT experiment_id, promotion_config FROM ab_experiment_history"
        " WHERE experiment_id = ANY(%(ids)s) AND valid_from < %(hour)s AND valid_until >= %(hour)s",
        {"ids": [e.id for e in experiments], "hour": hour},
    )
    known = {row["experiment_id"]: row["promotion_config"] for row in rows}
    return [replace(e, promotion_config=known.get(e.id, e.promotion_config)) for e in experiments]


def _frames(
    store: Store,
    source: Source,
    phases: dict[UUID, UUID],
    hour: datetime,
    *,
    is_now: bool,
    afresh: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Live rollups and the experiments frame, both of these phases only."""
    ids = [str(experiment) for experiment in phases]
    wanted = {str(phase) for phase in phases.values()}
    frame = read_present_experiments(source, ids) if is_now else read_experiments(source, hour - HOUR, hour, ids)
    rollups = live_rollups(store, source, hour, ids, afresh=afresh)
    return rollups[rollups["phase_id"].isin(wanted)], frame[frame["phase_id"].isin(wanted)]


def _standing(
    connection: Connection,
    settings: Settings,
    experiments: Sequence[Experiment],
    hour: datetime,
    made_by: MadeBy | None,
    *,
    is_now: bool,
) -> tuple[dict[UUID, MadeBy], set[UUID]]:
    """What made the decisions that would be acted upon, and whose tables are not what their phase says."""
    every = [experiment.id for experiment in experiments]
    if not is_now:
        return {}, set()
    makers = _makers(connection, settings, every, hour) if made_by is None else dict.fromkeys(every, made_by)
    return makers, unnoted_experiments(connection, every)


def _makers(connection: Connection, settings: Settings, ids: list[UUID], hour: datetime) -> dict[UUID, MadeBy]:
    """What made the decision of record about the hour that ends at `hour`, by experiment; none where it has none."""
    rows = connection.execute(
        "SELECT experiment_id, made_by FROM eligibility_decisions"
        " WHERE hour = %s AND label = %s AND experiment_id = ANY(%s)",
        [hour - HOUR, record_label(settings), ids],
    )
    return {row["experiment_id"]: MadeBy(row["made_by"]) for row in rows}


def _watermarks(rollups: pd.DataFrame) -> dict[UUID, datetime]:
    """The newest request of each experiment; where sums were imported, the end of their newest hour."""
    seen = rollups[rollups["requests"] > 0]
    ends = pd.to_datetime(seen["hour"], utc=True) + HOUR
    newest = pd.to_datetime(seen["newest_request_at"], utc=True).fillna(ends)
    by_experiment = newest.groupby(seen["experiment_id"].astype(str)).max()
    return {UUID(str(key)): at.to_pydatetime().astimezone(UTC) for key, at in by_experiment.items()}
