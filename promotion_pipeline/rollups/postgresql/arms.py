"""The arms whose requests are rolled up, as SQL that names each by a small number."""

from __future__ import annotations

from datetime import datetime

from psycopg import sql

from promotion_pipeline.store.bulk import rendered, time_literal
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


def arms(start: datetime, end: datetime) -> sql.Composed:
    """For a WITH: a row for every variant and phase that has time in [start, end), and the same found by its time.

    Grouping by one number is faster than by three ids.
    """
    return _SQL["arms"].format(start=time_literal(start), end=time_literal(end))


WITH_ARMS = rendered(_SQL["requests_with_arms"].format())
"""For a FROM: the requests with their arms; none for what belongs nowhere."""


def hour_of(column: sql.Composable) -> sql.Composed:
    """The UTC start of the hour of a timestamptz; faster than date_trunc and the same in every time zone."""
    return sql.SQL("date_bin('1 hour', {}, '2000-01-01 00:00:00+00'::timestamptz)").format(column)


REQUEST_HOUR = rendered(hour_of(sql.SQL("request.created_at")))

KNOWN_USER = sql.SQL("btrim(request.user_id::text, E' \\t\\n\\v\\f\\r') <> ''")
"""Whether `request` says whose it is: an id of nothing but white space is nobody's."""
