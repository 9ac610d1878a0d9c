"""How good the data behind decisions is: how new, how much, how complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pandas as pd

from promotion_pipeline.rollups import Completeness, completeness
from promotion_pipeline.rollups.usual_traffic import HourTraffic, hour_traffic
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR

PRESENT = timedelta(hours=24)
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
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    as_of: datetime,
    compared: Sequence[UUID],
) -> DataState:
    """Measure the data that `evaluate` was given.

    Args:
        rollups: hourly, of one phase an experiment.
        experiments: as `evaluate` takes them.
        compared: phases whose requests are counted in the log, which is the slow part.

    Raises:
        DependencyError: the log cannot be read.
    """
    return DataState(
        watermarks=_watermarks(rollups),
        newest_hours=hour_traffic(rollups, _started(experiments), as_of - HOUR),
        complete=completeness(store, connection, compared, rollups, as_of) if compared else {},
        traffic=present_traffic(rollups, experiments, as_of),
    )


def present_traffic(rollups: pd.DataFrame, experiments: pd.DataFrame, as_of: datetime) -> dict[str, float]:
    """Requests an hour of each variant in the day before `as_of`, or since the phase's start where that is younger.

    Args:
        rollups: hourly, of one phase an experiment.
        experiments: as `evaluate` takes them. Variants of a phase that has not begun are left out.
    """
    # Arrays, because a pandas groupby would take longer than all the rest of checking one experiment.
    recent = np.asarray(rollups["hour"] >= as_of - PRESENT)
    seen, names = pd.factorize(rollups["variant_id"].array[recent])
    requests = np.bincount(seen, weights=rollups["requests"].to_numpy()[recent], minlength=len(names))
    by_variant = dict(zip(map(str, names), requests.tolist(), strict=True))
    traffic = {}
    for variant, started in zip(experiments["variant_id"], experiments["started_at"], strict=True):
        hours = min(as_of - started, PRESENT) / HOUR
        if hours > 0:
            traffic[str(variant)] = by_variant.get(str(variant), 0.0) / hours
    return traffic


def _started(experiments: pd.DataFrame) -> dict[str, datetime]:
    """When the phases that are judged began, by experiment; imported sums come when they come."""
    own = experiments[~experiments["allows_corrections"].astype(bool)].drop_duplicates("experiment_id")
    return dict(zip(own["experiment_id"].astype(str), own["started_at"], strict=True))


def _watermarks(rollups: pd.DataFrame) -> dict[UUID, datetime]:
    """The newest request of each experiment; where sums were imported, the end of their newest hour."""
    seen = rollups[rollups["requests"] > 0]
    ends = pd.to_datetime(seen["hour"], utc=True) + HOUR
    newest = pd.to_datetime(seen["newest_request_at"], utc=True).fillna(ends)
    by_experiment = newest.groupby(seen["experiment_id"].astype(str)).max()
    return {UUID(str(key)): at.to_pydatetime().astimezone(UTC) for key, at in by_experiment.items()}
