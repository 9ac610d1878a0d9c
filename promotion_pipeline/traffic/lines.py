"""Requests and events as lines of COPY's text format: a tenth of the time of handing the driver values.

Text, not binary, so that a team's own table may have types of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from promotion_pipeline.traffic.directory import Names, Place, names_of
from promotion_pipeline.traffic.rows import EventRow, RequestRow

REQUEST_COLUMNS = (
    "id",
    "experiment_id",
    "variant_id",
    "user_id",
    "created_at",
    "latency_ms",
    "is_error",
    "converted",
    "value",
)
EVENT_COLUMNS = ("id", "experiment_id", "user_id", "created_at", "name", "value")
_NULL = "\\N"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def request_line(row: RequestRow, places: Mapping[Names, Place], now: str) -> str:
    """The line of a request whose names are known; `now` is the time of one that gives none."""
    place = places[names_of(row)]
    return (
        f"{row.id}\t{place.experiment_id}\t{place.variant_id}\t{_text(row.user_id)}\t{_time(row.created_at, now)}"
        f"\t{_NULL if row.latency_ms is None else row.latency_ms}\t{'t' if row.is_error else 'f'}"
        f"\t{'t' if row.converted else 'f'}\t{_NULL if row.value is None else row.value}\n"
    )


def event_line(row: EventRow, places: Mapping[Names, Place], now: str) -> str:
    """The line of an event, as `request_line`."""
    return (
        f"{row.id}\t{places[names_of(row)].experiment_id}\t{_text(row.user_id)}\t{_time(row.created_at, now)}"
        f"\t{_text(row.name)}\t{_NULL if row.value is None else row.value}\n"
    )


def _text(text: str | None) -> str:
    if text is None:
        return _NULL
    # What is printable is escaped only where it is a backslash; most texts are neither.
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPED)


def _time(at: datetime | None, now: str) -> str:
    return now if at is None else at.isoformat()
