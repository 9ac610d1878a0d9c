"""Why an experiment has no decision, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.evaluation.tables import ExperimentRows
from promotion_pipeline.promotion.record.experiments import Experiment
from promotion_pipeline.store.database import Connection


def problems_of(
    connection: Connection, experiments: Sequence[Experiment], hour: datetime, is_now: bool
) -> dict[UUID, str]:
    """Why these experiments have no decision, in a sentence each."""
    rows = connection.execute(
        "SELECT DISTINCT ON (experiment_id) experiment_id, promoted_variant_name, promoted_by, promoted_at"
        " FROM experiment_promotions WHERE experiment_id = ANY(%s) AND state IN ('ramping', 'promoted')",
        [[e.id for e in experiments]],
    )
    live = {row["experiment_id"]: row for row in rows}
    return {e.id: _problem(e, live.get(e.id), hour, is_now) for e in experiments}


def _problem(experiment: Experiment, live: dict[str, Any] | None, hour: datetime, is_now: bool) -> str:
    if experiment.phase_id is None:
        return f"{experiment.name!r} has no variants: add a control and a treatment"
    if not is_now:
        return f"{experiment.name!r} was not running at {hour.isoformat()}; ask about an hour of one of its phases"
    if live is not None:
        return (
            f"{experiment.name!r} is not running: {live['promoted_variant_name']!r} was promoted at"
            f" {live['promoted_at'].isoformat(timespec='seconds')} by {live['promoted_by']};"
            " roll it back to run the experiment again"
        )
    return f"{experiment.name!r} is not running: set is_active to start it"


def set_up_errors(experiments: ExperimentRows) -> dict[UUID, str]:
    """What is wrong with an experiment's own thresholds or start, where something is."""
    found: dict[UUID, str] = {}
    for key, said in zip(experiments.experiment_id.tolist(), experiments.settings["config_error"], strict=True):
        if said is not None:
            found.setdefault(UUID(key), str(said))
    return found
