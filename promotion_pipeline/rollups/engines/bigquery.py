"""Requests in BigQuery: SQL only, run with a client of one's own."""

from __future__ import annotations

from promotion_pipeline.rollups.engines.base import Engine
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.dialect import BACKSLASH_ESCAPES, MILLION_CHARACTERS, Dialect, TimeForm

DIALECT = Dialect(
    integer="INT64",
    double="FLOAT64",
    text="STRING",
    times={
        TimeKind.INSTANT: TimeForm(
            "TIMESTAMP '{text}+00'", "DIV(UNIX_SECONDS({time}), 3600)", "{bucket}", "UNIX_MICROS({time})"
        ),
        TimeKind.UTC: TimeForm(
            "DATETIME '{text}'",
            "DIV(UNIX_SECONDS(TIMESTAMP({time}, 'UTC')), 3600)",
            "{bucket}",
            "UNIX_MICROS(TIMESTAMP({time}, 'UTC'))",
        ),
    },
    quote="`",
    escapes=BACKSLASH_ESCAPES | {"\n": "\\n", "\r": "\\r"},
    unquotable="\0`\\",
    rows="UNNEST([{rows}]) AS {name}",
    row="STRUCT({})",
    name_values=True,
    longest_query=MILLION_CHARACTERS,
)

ENGINE = Engine(name="bigquery", dialect=DIALECT)
