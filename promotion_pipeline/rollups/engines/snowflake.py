"""Requests in Snowflake: SQL only, run with a client of one's own."""

from __future__ import annotations

from promotion_pipeline.rollups.engines.base import Engine
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.dialect import BACKSLASH_ESCAPES, MILLION_CHARACTERS, Dialect, TimeForm

_INSTANT = TimeForm(
    "'{text} +00:00'::TIMESTAMP_TZ",
    "CAST(FLOOR(DATE_PART(EPOCH_SECOND, {time}) / 3600) AS BIGINT)",
    "{bucket}",
    "CAST(DATE_PART(EPOCH_MICROSECOND, {time}) AS BIGINT)",
)

DIALECT = Dialect(
    integer="BIGINT",
    double="DOUBLE",
    text="VARCHAR",
    times={
        TimeKind.INSTANT: _INSTANT,
        TimeKind.UTC: TimeForm("'{text}'::TIMESTAMP_NTZ", _INSTANT.bucket, _INSTANT.hour, _INSTANT.micros),
    },
    escapes=BACKSLASH_ESCAPES,
    longest_query=MILLION_CHARACTERS,
)

ENGINE = Engine(name="snowflake", dialect=DIALECT)
