"""The rollup of wherever the requests are: the product's own table, or the log of AUTO_PROMOTION_SOURCE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups import conservation as hours
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.coverage import RUNNING, uncovered
from promotion_pipeline.rollups.engine_rollup import rollup_from_source
from promotion_pipeline.rollups.engines.registry import open_source
from promotion_pipeline.rollups.postgresql import old_hours
from promotion_pipeline.rollups.postgresql.rollup import RollupResult, added_up, missing_window, rollup_window
from promotion_pipeline.rollups.pushdown import requests_by_hour
from promotion_pipeline.store.bulk import read_frame, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR, require_hours

_STORED = sql.SQL(
    """
    SELECT rolled.hour, rolled.requests AS counted,
        (rolled.unassigned_requests + coalesce(sum(rollup.requests), 0))::bigint AS assigned
    FROM rollup_hours AS rolled
    LEFT JOIN (hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment
            ON experiment.id = rollup.experiment_id AND experiment.rollup_source = 'requests')
        ON rollup.hour = rolled.hour
    WHERE rolled.hour >= {start} AND rolled.hour < {end}
    GROUP BY rolled.hour ORDER BY rolled.hour
    """
)


def roll_up(store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> RollupResult:
    """Bring the rollups of [start, end) in line with the requests, and mark its hours as rolled up.

    Args:
        experiment_ids: only the rollups of these; no hour is marked then.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
            UUID.
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database or the engine of the log cannot be reached.
    """
    config = load_source(store.settings)
    if config is None:
        return rollup_window(store, start, end, experiment_ids)
    with open_source(config, store) as source:
        return rollup_from_source(store, source, start, end, experiment_ids)


def roll_up_missing(store: Store, end: datetime) -> RollupResult:
    """Roll up what of the running phases' requests before `end` is in no rollup, back to the phases' start.

    First the hours that were never read for anyone, in one window; then, experiment by experiment, what an hour was
    read without: an experiment that arrived with its history. Where nothing is missing it costs two short queries.

    Raises as `roll_up`.
    """
    window = missing_window(store, end)
    parts = [] if window is None else [roll_up(store, *window)]
    is_elsewhere = load_source(store.settings) is not None
    for missing in uncovered(store, end, RUNNING, is_elsewhere=is_elsewhere):
        parts.append(roll_up(store, missing.start, missing.end, missing.experiment_ids))
    return added_up(parts)


def unbalanced_old_hours(store: Store, start: datetime, end: datetime) -> list[hours.HourCount]:
    """The hours beyond the look-back of the run of [start, end) whose sums are not those of their requests.

    Of seven days in the product's own table; of a log elsewhere, where each hour is a query, the hour just beyond.

    Raises as `roll_up`.
    """
    hours = old_hours.old_hours(store.settings.lookback_hours, start, end)
    if load_source(store.settings) is None:
        return old_hours.unbalanced_old_hours(store, hours)
    return unbalanced_hours(store, hours[-1], hours[-1] + HOUR)


def unbalanced_hours(store: Store, start: datetime, end: datetime) -> list[hours.HourCount]:
    """The hours in [start, end) that were rolled up and whose sums are not those of their requests.

    Raises as `roll_up`.
    """
    config = load_source(store.settings)
    if config is None:
        return hours.unbalanced_hours(store, start, end)
    require_hours(start, end)
    with open_source(config, store) as source:
        counted = requests_by_hour(source, start, end)
    stored = read_frame(store, _STORED.format(start=time_literal(start), end=time_literal(end))).set_index("hour")
    stored["source"] = counted.reindex(stored.index, fill_value=0)
    lost = stored[(stored["source"] != stored["counted"]) | (stored["assigned"] != stored["counted"])]
    return [
        hours.HourCount(pd.Timestamp(hour).to_pydatetime(), int(source_requests), int(counted_requests), int(assigned))
        for hour, source_requests, counted_requests, assigned in zip(
            lost.index, lost["source"], lost["counted"], lost["assigned"], strict=True
        )
    ]
