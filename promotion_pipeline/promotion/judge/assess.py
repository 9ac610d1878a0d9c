"""The one way from stored requests to an answer about experiments; records nothing.

`check`, the sweep, `promote_winner` and the watch of ramps all come through here: live rollups, one call of
`evaluate` for every experiment asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.config.precedence import Overruled
from promotion_pipeline.decisions.experiment_rows import (
    experiment_rows,
    of_phases,
    present_experiment_rows,
    states_metrics,
    with_request,
)
from promotion_pipeline.decisions.past_lifts import Expected, LearnedPrior, learned_prior
from promotion_pipeline.evaluation.engine import look
from promotion_pipeline.evaluation.found import FoundColumns
from promotion_pipeline.evaluation.frames import frame_of
from promotion_pipeline.evaluation.from_frames import metric_sums
from promotion_pipeline.evaluation.tables import ExperimentRows
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.judge.data import DataState, data_state
from promotion_pipeline.promotion.judge.eligibility import eligibility_of, standing
from promotion_pipeline.promotion.judge.in_force import InForce, in_force
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.judge.overruled import overruled_threshold
from promotion_pipeline.promotion.judge.problems import problems_of, set_up_errors
from promotion_pipeline.promotion.judge.rows import by_experiment, records
from promotion_pipeline.promotion.judge.thresholds import JudgedOn, judged_on
from promotion_pipeline.promotion.record.experiments import Experiment, experiments_named, running_experiments
from promotion_pipeline.promotion.record.models import PromotionEligibility
from promotion_pipeline.promotion.record.queries import LIVE, promotions_where
from promotion_pipeline.promotion.record.served import ServedTraffic
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.record.watched import Alarm
from promotion_pipeline.promotion.watch.alarms import alarms_in
from promotion_pipeline.rollups import LiveSums, live_sums, log_name
from promotion_pipeline.rollups.metrics.live import live_metric_rollups
from promotion_pipeline.rollups.metrics.unusable import unusable_event_values
from promotion_pipeline.store.arrays import us_of
from promotion_pipeline.store.bulk import Source
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.traffic.splits import traffic_splits

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
        found = eligibility_of(self)
        over = tuple(map(overruled_threshold, self.overruled))
        return found.model_copy(update={"overruled": over}) if over else found


@dataclass(frozen=True)
class Judgement:
    """Assessments in the order asked for, and the rollups behind them."""

    as_of: datetime
    assessments: tuple[Assessment, ...]
    rollups: LiveSums
    found: FoundColumns

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """The frame of decisions, as `evaluate` gives it."""
        return frame_of(self.found.decisions)


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
    with store.connect() as connection, database_errors():
        assessments = _judged_over(connection, store, experiment_names, config, as_of, None).assessments
        ids = [assessment.experiment.id for assessment in assessments]
        alarms = alarms_in(connection, ids)
        # What is served now says nothing of an hour that was asked for.
        served = traffic_splits(connection, ids) if as_of is None else ()
        traffic = {split.experiment_id: ServedTraffic.of(split) for split in served}
        # Those that are promoted are not judged any more: what they were promoted with is the answer.
        silent = [one.experiment.id for one in assessments if one.decision is None] if as_of is None else []
        live = promotions_where(connection, f"{LIVE} AND experiment_id = ANY(%s)", [silent]) if silent else []
    promotions = {
        promotion.experiment_id: standing(promotion) for promotion in live if promotion.snapshot.get("decision")
    }
    return [
        with_alarms(one, alarms).model_copy(
            update={"traffic": traffic.get(one.experiment.id), "promotion": promotions.get(one.experiment.id)}
        )
        for one in assessments
    ]


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
        return _judged_over(connection, store, experiment_names, request, as_of, made_by)


def _judged_over(
    connection: Connection,
    store: Store,
    experiment_names: Sequence[str] | None,
    request: PromotionConfig | None,
    as_of: datetime | None,
    made_by: MadeBy | None,
) -> Judgement:
    if experiment_names is None:
        experiments = running_experiments(connection)
    else:
        experiments = experiments_named(connection, experiment_names)
    # A bulk read (from the store) opens another connection, which pays only for many rows.
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

    Args:
        as_of: judge on the phase and the thresholds of then; None: on the open phase and the present thresholds, so
            that the answer can be acted upon.
        source: the store for many experiments (bulk reads), or the connection that holds a lock.
        compare: count the requests of those that are eligible in the log.
        afresh: sum up the log, and the events of metrics, instead of reading what was rolled up.
        made_by: who acts; None: whoever made the decision of record.
    """
    force = in_force(connection, store.settings, experiments, as_of, made_by)
    rollups, rows = _inputs(store, source, force, afresh=afresh)
    thresholds = {e.id: judged_on(force.settings, e, request, made_by) for e in force.experiments}
    used = {str(key): own.used for key, own in thresholds.items() if own.used is not None}
    rows = with_request(rows, request, used)
    stated = None
    if states_metrics(rows):
        ids = [str(experiment) for experiment in force.phases]
        stated = live_metric_rollups(store, source, force.as_of, ids, afresh=afresh)
    found = look(
        rollups.sums,
        rows,
        hours_us=np.array([us_of(force.as_of - HOUR)]),
        config=force.settings.thresholds,
        metrics=None if stated is None else metric_sums(stated),
    )
    decisions = {UUID(row["experiment_id"]): row for row in records(found.decisions)}
    metrics, significance = by_experiment(found.metrics), by_experiment(found.significance)
    metric_results = _with_unusable(connection, by_experiment(found.metric_results), force, counted=compare)
    eligible = [force.phases[key] for key, row in decisions.items() if row["is_eligible"] and key in force.phases]
    data = data_state(store, connection, rollups, rows, force.as_of, eligible if compare else ())
    learned = learned_prior(connection, force.as_of)
    silent = [e for e in force.experiments if e.id not in decisions]
    problems = set_up_errors(rows) | problems_of(connection, silent, force.as_of, force.is_now)
    known = {
        e.id: {
            "request": request,
            "decision": decisions.get(e.id),
            "metrics": tuple(metrics.get(e.id, ())),
            "significance": tuple(significance.get(e.id, ())),
            "metric_results": tuple(metric_results.get(e.id, ())),
            "problem": problems.get(e.id) or thresholds[e.id].problem,
            "learned": _expected(learned, decisions.get(e.id), significance.get(e.id, ())),
        }
        for e in force.experiments
    }
    assessed = (_assessment(store, e, force, data, thresholds[e.id], **known[e.id]) for e in force.experiments)
    return Judgement(force.as_of, tuple(assessed), rollups, found)


def _with_unusable(
    connection: Connection, results: dict[UUID, list[dict[str, Any]]], force: InForce, *, counted: bool
) -> dict[UUID, list[dict[str, Any]]]:
    """The rows of metrics, with how many values of events each leaves out; only where these are counted."""
    phases = [force.phases[key] for key in results if key in force.phases] if counted else []
    left_out = {
        (one.experiment_name, one.metric): one.values
        for one in unusable_event_values(connection, phases, None, force.as_of)
    }
    if not left_out:
        return results
    names = {e.id: e.name for e in force.experiments}
    return {
        key: [row | {"unusable_values": left_out.get((names.get(key, ""), row["metric"]), 0)} for row in rows]
        for key, rows in results.items()
    }


def _expected(
    learned: LearnedPrior, decision: Mapping[str, Any] | None, significance: Sequence[Mapping[str, Any]]
) -> Expected | None:
    """The candidate's lift by the learned prior."""
    if decision is None:
        return None
    candidate = decision["candidate_variant_id"]
    tests = next((row for row in significance if row["variant_id"] == candidate), None)
    return None if tests is None else learned.expected_of(tests, decision["min_confidence_threshold"])


def _assessment(
    store: Store, experiment: Experiment, force: InForce, data: DataState, own: JudgedOn, **known: Any
) -> Assessment:
    """Everything that is known of one experiment; `known` is what the evaluation says."""
    key, phase_id = experiment.id, force.phases.get(experiment.id)
    return Assessment(
        experiment=experiment,
        as_of=force.as_of,
        now=force.now,
        phase_id=phase_id,
        config=own.used,
        overruled=own.overruled,
        is_overridden=own.is_overridden,
        watermark=data.watermarks.get(key),
        newest_hour=data.newest_hours.get(str(key)),
        completeness=None if phase_id is None else data.complete.get(phase_id),
        traffic=data.traffic,
        log=log_name(store.settings),
        is_enabled=store.settings.enabled,
        made_by=force.makers.get(key, MadeBy.AUTOMATION),
        is_phase_current=key not in force.unnoted,
        **known,
    )


def _inputs(store: Store, source: Source, force: InForce, *, afresh: bool) -> tuple[LiveSums, ExperimentRows]:
    """Live sums and the experiments' rows, both of the phases in force only."""
    as_of, ids = force.as_of, [str(experiment) for experiment in force.phases]
    wanted = {str(phase) for phase in force.phases.values()}
    rows = present_experiment_rows(source, ids) if force.is_now else experiment_rows(source, as_of - HOUR, as_of, ids)
    rollups = live_sums(store, source, as_of, ids, afresh=afresh)
    return rollups.of_phases(wanted), of_phases(rows, wanted)
