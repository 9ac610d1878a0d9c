"""How good the data behind decisions is: how new, how much, how complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from promotion_pipeline.evaluation.hours import HOUR_US
from promotion_pipeline.evaluation.tables import MISSING_US, ExperimentRows, HourlySums
from promotion_pipeline.rollups import Completeness, LiveSums, completeness
from promotion_pipeline.rollups.completeness import PhaseRequests
from promotion_pipeline.rollups.usual_traffic import HourTraffic, hour_traffic
from promotion_pipeline.store.arrays import instant, us_of
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR

PRESENT_US = 24 * HOUR_US
"""A whole day, so that the hour of the day does not count."""


@dataclass(frozen=True)
class DataState:
    """What is known of the data at one as-of."""

    watermarks: Mapping[UUID, datetime]
    """The newest request, by experiment."""
    newest_hours: Mapping[str, HourTraffic]
    """Requests of the newest hour, and how many are usual, by experiment."""
    complete: Mapping[UUID, Completeness]
    """The phase's requests in the log and in its sums, by phase; only of phases that were compared."""
    traffic: Mapping[str, float]
    """Requests an hour at present, by variant."""


def data_state(
    store: Store,
    connection: Connection,
    rollups: LiveSums,
    experiments: ExperimentRows,
    as_of: datetime,
    compared: Sequence[UUID],
) -> DataState:
    """Measure the data that the evaluation was given.

    Args:
        rollups: hourly, of one phase an experiment.
        experiments: as `look` takes them.
        compared: phases whose requests are counted in the log, which is the slow part.

    Raises:
        DependencyError: the log cannot be read.
    """
    sums = rollups.sums
    complete: Mapping[UUID, Completeness] = {}
    if compared and sums.phase_id is not None:
        by_phase = PhaseRequests(sums.phase_id, sums.hour_us, sums.sums["requests"])
        complete = completeness(store, connection, compared, by_phase, as_of)
    return DataState(
        watermarks=_watermarks(rollups),
        newest_hours=hour_traffic(
            sums.experiment_id, sums.hour_us, sums.sums["requests"], _started(experiments), as_of - HOUR
        ),
        complete=complete,
        traffic=present_traffic(sums, experiments, as_of),
    )


def present_traffic(rollups: HourlySums, experiments: ExperimentRows, as_of: datetime) -> dict[str, float]:
    """Requests an hour of each variant in the day before `as_of`, or since the phase's start where that is younger.

    Args:
        rollups: hourly, of one phase an experiment.
        experiments: as `look` takes them. Variants of a phase that has not begun are left out.
    """
    end_us = us_of(as_of)
    recent = rollups.hour_us >= end_us - PRESENT_US
    place = rollups.variant_id.places_in(experiments.variant_id.words)
    mine = recent & (place >= 0)
    requests = np.bincount(
        place[mine], weights=rollups.sums["requests"][mine], minlength=len(experiments.variant_id.words)
    )
    hours = np.minimum(end_us - experiments.started_us, PRESENT_US) / HOUR_US
    begun = (hours > 0) & (experiments.started_us != MISSING_US)
    variants = experiments.variant_id.at(begun)
    of_variant = requests[variants.codes] / hours[begun]
    return dict(zip(map(str, variants.tolist()), of_variant.tolist(), strict=True))


def _started(experiments: ExperimentRows) -> dict[str, datetime]:
    """When the phases that are judged began, by experiment; imported sums come when they come."""
    own = experiments.at(~experiments.settings["allows_corrections"].astype(bool))
    started: dict[str, datetime] = {}
    for key, since_us in zip(own.experiment_id.tolist(), own.started_us.tolist(), strict=True):
        started.setdefault(key, instant(since_us))
    return started


def _watermarks(rollups: LiveSums) -> dict[UUID, datetime]:
    """The newest request of each experiment; where sums were imported, the end of their newest hour."""
    sums, newest = rollups.sums, rollups.newest_request_us
    seen = np.where(newest == MISSING_US, sums.hour_us + HOUR_US, newest)
    latest = np.full(len(sums.experiment_id.words), MISSING_US)
    has_requests = sums.sums["requests"] > 0
    np.maximum.at(latest, sums.experiment_id.codes[has_requests], seen[has_requests])
    found = zip(sums.experiment_id.words, latest.tolist(), strict=True)
    return {UUID(str(key)): instant(at_us) for key, at_us in found if at_us != MISSING_US}
