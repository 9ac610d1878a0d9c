"""The one way from stored requests to an answer about experiments; records nothing.

`check`, the sweep, `promote_winner` and the watch of ramps all come through here: live rollups, one call of
`evaluate` for every experiment asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from promotion_pipeline.config import PromotionConfig, Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.evaluation import Outlook, evaluate, outlook
from promotion_pipeline.promotion.acts import database_errors
from promotion_pipeline.promotion.experiments import (
    Experiment,
    experiments_named,
    resolved_config,
    running_experiments,
)
from promotion_pipeline.promotion.inputs import as_of_hour
from promotion_pipeline.promotion.models import Promotion, PromotionEligibility
from promotion_pipeline.promotion.records import promotion_from
from promotion_pipeline.promotion.traffic import present_traffic
from promotion_pipeline.promotion.wording import eligibility_of
from promotion_pipeline.store.bulk import Source
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.environment import environment_of
from promotion_pipeline.store.experiments import overridden, read_experiments, read_present_experiments
from promotion_pipeline.store.live import rollups_as_of
from promotion_pipeline.store.usual import HourTraffic, hour_traffic

HOUR = timedelta(hours=1)
FEW = 20
WATCHED_SUMS = ["latency_samples", "latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares"]


@dataclass(frozen=True)
class Assessment:
    """One experiment as seen from one as-of: the decision as it stands, and what it was made from.

    `decision` is None where the experiment was not evaluated; `problem` then says why. `config` is None where
    the experiment's own thresholds are not valid.
    """

    experiment: Experiment
    as_of: datetime
    phase_id: UUID | None
    config: PromotionConfig | None
    decision: dict[str, Any] | None = None
    metrics: tuple[dict[str, Any], ...] = ()
    significance: tuple[dict[str, Any], ...] = ()
    watermark: datetime | None = None
    newest_hour: HourTraffic | None = None
    """Requests of the newest hour, and how many are usual."""
    problem: str | None = None
    is_enabled: bool = True
    """AUTO_PROMOTION_ENABLED."""
    traffic: Mapping[str, float] = field(default_factory=dict)
    """Requests an hour at present, by variant id; empty: not known."""

    @cached_property
    def eligibility(self) -> PromotionEligibility:
        """The answer in words and numbers."""
        return eligibility_of(self)

    @cached_property
    def outlook(self) -> Outlook | None:
        """What is missing and, at the present traffic, when it could be there; None where nothing can be judged."""
        if self.decision is None:
            return None
        arms = [self.decision[f"{arm}_variant_id"] for arm in ("candidate", "control")]
        known = [self.traffic[arm] for arm in arms if arm in self.traffic]
        return outlook(self.decision, requests_per_hour=min(known) if len(known) == len(arms) else None)

    @property
    def is_fresh(self) -> bool:
        """Whether the newest request is recent enough at the as-of for an unattended promotion."""
        if self.watermark is None or self.config is None:
            return False
        return self.as_of - self.watermark <= timedelta(hours=self.config.max_staleness_hours)

    @property
    def is_quiet(self) -> bool:
        """Whether the newest hour has far fewer requests than usual."""
        return self.newest_hour is not None and self.newest_hour.is_quiet


@dataclass(frozen=True)
class Judgement:
    """Assessments in the order asked for, and the rollups behind them."""

    as_of: datetime
    assessments: tuple[Assessment, ...]
    rollups: pd.DataFrame


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
    return [assessment.eligibility for assessment in judge(store, experiment_names, config, as_of).assessments]


def judge(
    store: Store,
    experiment_names: Sequence[str] | None,
    request: PromotionConfig | None = None,
    as_of: datetime | None = None,
) -> Judgement:
    """`assess` with everything behind the answers."""
    with store.connect() as connection, database_errors():
        if experiment_names is None:
            experiments = running_experiments(connection)
        else:
            experiments = experiments_named(connection, experiment_names)
        # A bulk read opens connections of its own, which pays only for many rows.
        source: Source = connection if len(experiments) <= FEW else store
        return judge_experiments(store, connection, experiments, request, as_of, source=source)


def judge_experiments(
    store: Store,
    connection: Connection,
    experiments: Sequence[Experiment],
    request: PromotionConfig | None,
    as_of: datetime | None,
    *,
    source: Source,
) -> Judgement:
    """Evaluate experiments that were read already.

    Without `as_of` each is judged on its open phase and present thresholds: what can be acted upon now. With one, on
    the phase and the thresholds that were in force then. `source` is the store for many experiments (bulk reads), or
    the connection that holds a lock.
    """
    hour = as_of_hour(connection, as_of)
    settings = store.settings
    if as_of is None:
        phases = _open_phases(experiments)
    else:
        phases = _phases_at(connection, experiments, hour)
        experiments = _as_they_were(connection, experiments, hour)
        settings = settings.model_copy(update={"thresholds": environment_of(connection, settings, hour - HOUR)})
    ids = [str(experiment.id) for experiment in experiments if experiment.id in phases]
    rollups, frame = _frames(source, ids, phases, hour, is_now=as_of is None)
    frame = overridden(frame, request)
    found = evaluate(rollups, frame, hours=pd.DatetimeIndex([hour - HOUR]), config=settings.thresholds)
    decisions = {UUID(row["experiment_id"]): row for row in _records(found.decisions)}
    metrics = _by_experiment(found.metrics)
    significance = _by_experiment(found.significance)
    watermarks, traffic = _watermarks(rollups), present_traffic(rollups, frame, hour)
    newest_hours = hour_traffic(rollups, _started(frame), hour - HOUR)
    problems = _problems(connection, [e for e in experiments if e.id not in decisions], hour, as_of is None)
    configs = {e.id: _config(settings, e, request) for e in experiments}
    assessments = tuple(
        Assessment(
            experiment=experiment,
            as_of=hour,
            phase_id=phases.get(experiment.id),
            config=configs[experiment.id][0],
            decision=decisions.get(experiment.id),
            metrics=tuple(metrics.get(experiment.id, ())),
            significance=tuple(significance.get(experiment.id, ())),
            watermark=watermarks.get(experiment.id),
            newest_hour=newest_hours.get(str(experiment.id)),
            problem=problems.get(experiment.id) or configs[experiment.id][1],
            is_enabled=store.settings.enabled,
            traffic=traffic,
        )
        for experiment in experiments
    )
    return Judgement(hour, assessments, rollups)


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
    source: Source, ids: list[str], phases: dict[UUID, UUID], hour: datetime, *, is_now: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Live rollups and the experiments frame, both of the chosen phases only."""
    wanted = {str(phase) for phase in phases.values()}
    frame = read_present_experiments(source, ids) if is_now else read_experiments(source, hour - HOUR, hour, ids)
    rollups = rollups_as_of(source, hour, ids)
    return rollups[rollups["phase_id"].isin(wanted)], frame[frame["phase_id"].isin(wanted)]


def _config(
    settings: Settings, experiment: Experiment, request: PromotionConfig | None
) -> tuple[PromotionConfig | None, str | None]:
    """The experiment's thresholds, or what is wrong with its own."""
    try:
        return resolved_config(settings, experiment, request), None
    except ConfigError as error:
        return None, str(error)


def _problems(
    connection: Connection, experiments: Sequence[Experiment], hour: datetime, is_now: bool
) -> dict[UUID, str]:
    """Why these experiments have no decision, in a sentence each."""
    rows = connection.execute(
        "SELECT DISTINCT ON (experiment_id) *"
        " FROM experiment_promotions WHERE experiment_id = ANY(%s) AND state IN ('ramping', 'promoted')",
        [[e.id for e in experiments]],
    )
    live = {row["experiment_id"]: promotion_from(row) for row in rows}
    return {e.id: _problem(e, live.get(e.id), hour, is_now) for e in experiments}


def _problem(experiment: Experiment, live: Promotion | None, hour: datetime, is_now: bool) -> str:
    if experiment.start_date is None:
        return f"{experiment.name!r} is a draft: set its start_date to start it"
    if experiment.phase_id is None:
        return f"{experiment.name!r} has no variants: add a control and a treatment"
    if not is_now:
        return f"{experiment.name!r} was not running at {hour.isoformat()}; ask about an hour of one of its phases"
    if live is not None:
        return (
            f"{experiment.name!r} is not running: {live.promoted_variant_name!r} was promoted at"
            f" {live.promoted_at.isoformat(timespec='seconds')} by {live.promoted_by};"
            " roll it back to run the experiment again"
        )
    return f"{experiment.name!r} is not running: set is_active to start it"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values: no numpy scalars, None for what is missing."""
    # Column by column: `to_dict("records")` costs as much as the evaluation where a frame has few rows.
    columns = {str(name): [plain(value) for value in column.tolist()] for name, column in frame.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _by_experiment(frame: pd.DataFrame) -> dict[UUID, list[dict[str, Any]]]:
    rows: dict[UUID, list[dict[str, Any]]] = {}
    for row in _records(frame):
        rows.setdefault(UUID(row["experiment_id"]), []).append(row)
    return rows


def plain(value: Any) -> Any:
    """A cell of a frame as a plain Python value; NaN and NaT are None."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _watermarks(rollups: pd.DataFrame) -> dict[UUID, datetime]:
    """The newest request of each experiment; where sums were imported, the end of their newest hour."""
    seen = rollups[rollups["requests"] > 0]
    ends = pd.to_datetime(seen["hour"], utc=True) + HOUR
    newest = pd.to_datetime(seen["newest_request_at"], utc=True).fillna(ends)
    by_experiment = newest.groupby(seen["experiment_id"].astype(str)).max()
    return {UUID(str(key)): at.to_pydatetime().astimezone(UTC) for key, at in by_experiment.items()}
