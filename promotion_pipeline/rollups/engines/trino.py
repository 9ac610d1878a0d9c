"""Requests in Trino: SQL only, run with a client of one's own."""

from __future__ import annotations

from promotion_pipeline.rollups.engines.base import Engine
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.dialect import MILLION_CHARACTERS, Dialect, TimeForm

DIALECT = Dialect(
    integer="BIGINT",
    double="DOUBLE",
    text="VARCHAR",
    times={
        TimeKind.INSTANT: TimeForm(
            "TIMESTAMP '{text} UTC'",
            "CAST(FLOOR(to_unixtime({time}) / 3600) AS BIGINT)",
            "{bucket}",
            "CAST(ROUND(to_unixtime({time}) * 1000000) AS BIGINT)",
        ),
        TimeKind.UTC: TimeForm(
            "TIMESTAMP '{text}'",
            "CAST(FLOOR(to_unixtime(with_timezone({time}, 'UTC')) / 3600) AS BIGINT)",
            "{bucket}",
            "CAST(ROUND(to_unixtime(with_timezone({time}, 'UTC')) * 1000000) AS BIGINT)",
        ),
    },
    longest_query=MILLION_CHARACTERS,
)

ENGINE = Engine(name="trino", dialect=DIALECT)
