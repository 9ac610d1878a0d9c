"""The environment's thresholds that each hour was decided with: a past hour is decided again with the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from promotion_pipeline.config import ACTING_FIELDS, Mode, PromotionConfig, Settings, parse_config
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.windows import HOUR


@dataclass(frozen=True)
class Environment:
    """Thresholds of the environment, and the hours of a window that they are in force for."""

    id: str
    config: PromotionConfig
    hours: pd.DatetimeIndex


def environments(
    connection: psycopg.Connection[Any], settings: Settings, start: datetime, end: datetime
) -> tuple[Environment, ...]:
    """The environments of the hours in [start, end): what they were decided with, else that of `settings`.

    Raises:
        DependencyError: the database cannot be reached.
    """
    hours = pd.date_range(start, end, freq="h", inclusive="left", tz="UTC").as_unit("us")
    if settings.mode is Mode.SHADOW:
        # A shadow says what its own thresholds would have decided, whatever a live deployment decided with.
        return (Environment(environment_id(settings.thresholds), settings.thresholds, hours),)
    rows = connection.execute(
        """
        SELECT known.id, known.config, array_agg(decided.hour) AS hours
        FROM evaluation_hours AS decided JOIN evaluation_environments AS known ON known.id = decided.environment_id
        WHERE decided.hour >= %s AND decided.hour < %s GROUP BY known.id
        """,
        (start, end),
    ).fetchall()
    of_hour = pd.Series(environment_id(settings.thresholds), index=hours)
    configs = {of_hour.iloc[0]: settings.thresholds}
    for row in rows:
        of_hour[pd.DatetimeIndex(row["hours"]).tz_convert("UTC")] = row["id"]
        configs.setdefault(row["id"], parse_config(row["config"], source="recorded environment"))
    return tuple(Environment(str(key), configs[key], hours[of_hour == key]) for key in of_hour.unique())


def environment_of(connection: psycopg.Connection[Any], settings: Settings, hour: datetime) -> PromotionConfig:
    """The environment's thresholds that an hour was decided with, else those of `settings`."""
    return environments(connection, settings, hour, hour + HOUR)[0].config


def keep_environment(connection: psycopg.Connection[Any], environment: Environment) -> None:
    """Note that decisions of record about its hours were made with it; call it in their transaction.

    Raises:
        DependencyError: meanwhile somebody decided one of the hours with other thresholds; to be tried again.
    """
    hours = list(environment.hours.to_pydatetime())
    connection.execute(
        "INSERT INTO evaluation_environments (id, config) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (environment.id, Jsonb(_deciding(environment.config))),
    )
    connection.execute(
        "INSERT INTO evaluation_hours (hour, environment_id) SELECT unnest(%s::timestamptz[]), %s"
        " ON CONFLICT DO NOTHING",
        (hours, environment.id),
    )
    other = connection.execute(
        "SELECT hour FROM evaluation_hours WHERE hour = ANY(%s) AND environment_id <> %s LIMIT 1",
        (hours, environment.id),
    ).fetchone()
    if other is not None:
        raise DependencyError(
            f"the hour {other['hour'].isoformat()} was decided meanwhile under other thresholds of the environment:"
            " evaluate it again"
        )


def environment_id(config: PromotionConfig) -> str:
    """Names the thresholds that decide: equal for equal decisions."""
    text = json.dumps(_deciding(config), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _deciding(config: PromotionConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_json().items() if name not in ACTING_FIELDS}
