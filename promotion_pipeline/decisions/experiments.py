"""Experiments in the form of the evaluation: as they were at the as-of, or as they are now.

What was in force is read from `ab_experiment_history`, which triggers of the database keep: a change of thresholds or
variants counts from the next as-of on, and no change reaches back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from psycopg import sql

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig
from promotion_pipeline.config.precedence import own_thresholds
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.postgresql.arms import hour_of
from promotion_pipeline.store.bulk import Source, ids_filter, read_frame, time_literal
from promotion_pipeline.store.clock import require_utc
from promotion_pipeline.store.usable import read_json, start_error

_FRAME = sql.SQL(
    """
    SELECT experiment.id::text AS experiment_id, phase.id::text AS phase_id, experiment.name::text,
        variant.key AS variant_id, variant.value ->> 'name' AS variant_name,
        (variant.value ->> 'is_control')::boolean AS is_control,
        (variant.value ->> 'traffic')::float8 AS traffic_percentage,
        begun.at AS started_at, phase.ended_at, phase.is_running, experiment.is_active,
        known.rollup_source = 'imported' AS allows_corrections,
        known.promotion_config::text AS promotion_config,
        CASE WHEN usable_start(known.start_date) <> known.start_date THEN known.start_date::text END AS bad_start {more}
    FROM ab_experiments AS experiment
    JOIN ab_experiment_phases AS phase ON phase.experiment_id = experiment.id
    JOIN ab_experiment_history AS known ON known.experiment_id = experiment.id
    CROSS JOIN LATERAL (
        SELECT usable_start(CASE WHEN phase.started_at = usable_start(experiment.start_date::timestamptz)
            THEN known.start_date ELSE phase.started_at END)
    ) AS begun(at)
    {joins}
    CROSS JOIN LATERAL jsonb_each(known.variants) AS variant
    WHERE {condition} AND {wanted}
    ORDER BY experiment.name, phase.started_at, known.valid_from, variant_name
    """
)
# An experiment whose start lies ahead is listed from the newest complete hour on when it became known.
_IN_FORCE = sql.SQL(
    """
    CROSS JOIN LATERAL (
        SELECT greatest(known.valid_from, CASE
                WHEN first.noted_at < begun.at AND NOT EXISTS (
                    SELECT 1 FROM ab_experiment_phases AS earlier
                    WHERE earlier.experiment_id = phase.experiment_id AND earlier.started_at < phase.started_at)
                THEN {noted_hour} - interval '1 hour' ELSE begun.at END) AS since,
            least(known.valid_until, coalesce(phase.ended_at, 'infinity')) AS until
        FROM ab_experiment_history AS first
        WHERE first.experiment_id = phase.experiment_id AND first.valid_from = '-infinity'
    ) AS force
    """
).format(noted_hour=hour_of(sql.SQL("usable_start(first.noted_at)")))


def read_experiments(
    source: Source,
    start: datetime | None,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
    *,
    running_only: bool = True,
) -> pd.DataFrame:
    """A row per variant and stretch of time in which phase and set-up were the same, in the form of `evaluate`.

    Stretches that hold an as-of of the hours in [start, end): `governs_from` and `governs_until` bound them. A
    threshold that some experiment sets for itself has a column, missing for the others; `config_error` says what is
    wrong with an experiment's own thresholds.

    Args:
        running_only: leave out the phases in which the experiment was not active.

    Raises:
        InputError: a time is naive, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    return _with_thresholds(read_frame(source, in_force_query(start, end, experiment_ids, running_only=running_only)))


def in_force_query(
    start: datetime | None,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
    *,
    running_only: bool = True,
) -> sql.Composed:
    """The query of `read_experiments`.

    Raises:
        InputError: a time is naive, or an id is no UUID.
    """
    for name, at in (("start", start), ("end", end)):
        if at is not None:
            require_utc(at, name)
    last_as_of = hour_of(sql.SQL("least(force.until, {})").format(time_literal(end)))
    since: sql.Composable = sql.SQL("force.since")
    if start is not None:
        since = sql.SQL("greatest(force.since, {})").format(time_literal(start))
    return _FRAME.format(
        more=sql.SQL(", force.since AS governs_from, nullif(force.until, 'infinity') AS governs_until"),
        joins=_IN_FORCE,
        condition=sql.SQL("{} < {} AND (phase.is_running OR {})").format(
            since, last_as_of, sql.Literal(not running_only)
        ),
        wanted=ids_filter(sql.SQL("experiment.id"), experiment_ids),
    )


def read_present_experiments(source: Source, experiment_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """A row per variant of every open phase that is running, with the set-up of this moment: what can be acted upon.

    Raises:
        InputError: an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    return _with_thresholds(read_frame(source, present_query(experiment_ids)))


def present_query(experiment_ids: Sequence[str] | None = None) -> sql.Composed:
    """The query of `read_present_experiments`.

    Raises:
        InputError: an id is no UUID.
    """
    return _FRAME.format(
        more=sql.SQL(""),
        joins=sql.SQL(""),
        condition=sql.SQL("known.valid_until = 'infinity' AND phase.ended_at IS NULL AND phase.is_running"),
        wanted=ids_filter(sql.SQL("experiment.id"), experiment_ids),
    )


def overridden(
    frame: pd.DataFrame,
    request: PromotionConfig | None,
    used: Mapping[str, PromotionConfig] = MappingProxyType({}),
) -> pd.DataFrame:
    """The request is the strongest layer: its values stand in every row.

    Args:
        used: by experiment id, what is used instead of the request's own values of the thresholds that it set.
    """
    columns = overriding(frame["experiment_id"], request, used)
    return frame.assign(
        **{name: pd.Series(values, index=frame.index, dtype=object) for name, values in columns.items()}
    )


def overriding(
    experiment_ids: Iterable[Any], request: PromotionConfig | None, used: Mapping[str, PromotionConfig]
) -> dict[str, list[Any]]:
    """The columns that a request sets, given the experiment of each row; `used` as in `overridden`."""
    given = () if request is None else sorted(request.model_fields_set - ACTING_FIELDS)
    of_row = [used.get(str(key), request) for key in experiment_ids]
    return {name: [getattr(config, name) for config in of_row] for name in given}


def _with_thresholds(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the column of JSON into a column a threshold; each distinct text is parsed once."""
    texts = frame.pop("promotion_config")
    parsed = {text: parsed_thresholds(text) for text in texts.unique()}
    names = sorted({name for config, _ in parsed.values() for name in config})
    for name in names:
        frame[name] = texts.map({text: config.get(name, np.nan) for text, (config, _) in parsed.items()})
    starts = frame.pop("bad_start")
    errors = texts.map({text: error for text, (_, error) in parsed.items()})
    errors = errors.where(starts.isna(), starts.map(start_error, na_action="ignore"))
    return frame.assign(config_error=errors.astype("str") if len(frame) else errors)


def parsed_thresholds(text: str) -> tuple[dict[str, Any], str | None]:
    """The thresholds that an experiment's JSON sets, and what is wrong with it."""
    try:
        config = own_thresholds(read_json(text))
    except ConfigError as error:
        return {}, str(error)
    return {name: getattr(config, name) for name in config.model_fields_set}, None
