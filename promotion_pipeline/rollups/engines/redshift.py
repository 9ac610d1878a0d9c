"""Requests in Redshift: SQL only, run with a client of one's own."""

from __future__ import annotations

from promotion_pipeline.rollups.engines.base import Engine
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.dialect import MILLION_CHARACTERS, Dialect, TimeForm

_INSTANT = TimeForm(
    "TIMESTAMPTZ '{text}+00'",
    "CAST(FLOOR(EXTRACT(EPOCH FROM {time}) / 3600.0) AS BIGINT)",
    "{bucket}",
    "CAST(FLOOR(EXTRACT(EPOCH FROM {time})) AS BIGINT) * 1000000",
)

DIALECT = Dialect(
    integer="BIGINT",
    double="DOUBLE PRECISION",
    text="VARCHAR",
    times={
        TimeKind.INSTANT: _INSTANT,
        TimeKind.UTC: TimeForm("TIMESTAMP '{text}'", _INSTANT.bucket, _INSTANT.hour, _INSTANT.micros),
    },
    # Whether a backslash escapes depends on the cluster's settings.
    unwritable="\0\\",
    # Redshift has no VALUES outside of INSERT.
    rows="({rows}) AS {name}",
    row="SELECT {}",
    name_values=True,
    between_rows="\n        UNION ALL ",
    longest_query=16 * MILLION_CHARACTERS,
)

ENGINE = Engine(name="redshift", dialect=DIALECT)
