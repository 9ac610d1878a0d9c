"""What was in force at an as-of: the thresholds and phases that experiments are judged on, and who decided the hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.environment import environment_of
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.decisions.phases import unnoted_experiments
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.record.experiments import Experiment
from promotion_pipeline.promotion.record.inputs import as_of_hour
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.windows import HOUR


@dataclass(frozen=True)
class InForce:
    """The tables as they stand, or as they stood at an as-of."""

    as_of: datetime
    is_now: bool
    """No as-of was asked for: what is found can be acted upon."""
    now: datetime
    """When this was asked; of a past as-of, the as-of."""
    settings: Settings
    """With the environment's thresholds of then."""
    experiments: Sequence[Experiment]
    """With their own thresholds of then."""
    phases: Mapping[UUID, UUID]
    """The running phase, by experiment; one without it cannot be judged."""
    makers: Mapping[UUID, MadeBy]
    """What made the decision that would be acted upon, by experiment."""
    unnoted: AbstractSet[UUID]
    """Experiments whose tables are not what their open phase says."""


def in_force(
    connection: Connection,
    settings: Settings,
    experiments: Sequence[Experiment],
    as_of: datetime | None,
    made_by: MadeBy | None,
) -> InForce:
    """Read what was in force at an as-of; None: now.

    Args:
        made_by: what acts; None: whoever made the decision of record.

    Raises:
        InputError: `as_of` is naive or in the future.
    """
    hour = as_of_hour(connection, as_of)
    every = [experiment.id for experiment in experiments]
    if as_of is None:
        makers = _makers(connection, settings, every, hour) if made_by is None else dict.fromkeys(every, made_by)
        phases = {e.id: e.phase_id for e in experiments if e.phase_id is not None and e.phase_is_running}
        now, unnoted = database_now(connection), unnoted_experiments(connection, every)
        return InForce(hour, True, now, settings, experiments, phases, makers, unnoted)
    thresholds = environment_of(connection, settings, hour - HOUR)
    then = settings.model_copy(update={"thresholds": thresholds})
    past, phases = _as_they_were(connection, experiments, hour), _phases_at(connection, every, hour)
    return InForce(hour, False, hour, then, past, phases, makers={}, unnoted=frozenset())


def _phases_at(connection: Connection, ids: list[UUID], hour: datetime) -> dict[UUID, UUID]:
    """The running phase that was current at an as-of: begun before it, not ended before it."""
    rows = connection.execute(
        "SELECT experiment_id, id FROM ab_experiment_phases WHERE experiment_id = ANY(%(ids)s) AND is_running"
        " AND started_at < %(hour)s AND (ended_at IS NULL OR ended_at >= %(hour)s)",
        {"ids": ids, "hour": hour},
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


def _makers(connection: Connection, settings: Settings, ids: list[UUID], hour: datetime) -> dict[UUID, MadeBy]:
    """What made the decision of record about the hour that ends at `hour`, by experiment; none where it has none."""
    rows = connection.execute(
        "SELECT experiment_id, made_by FROM eligibility_decisions"
        " WHERE hour = %s AND label = %s AND experiment_id = ANY(%s)",
        [hour - HOUR, record_label(settings), ids],
    )
    return {row["experiment_id"]: MadeBy(row["made_by"]) for row in rows}
