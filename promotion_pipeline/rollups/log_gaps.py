"""What the log of the requests has lost: named and kept, never taken for zero.

An experiment that had requests in an hour and now has none there has lost them: its sums of that hour stay as they were
counted. A file that cannot be read makes every loss of its hours doubtful, and the hours that are new incomplete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from promotion_pipeline.store.bulk import identifiers
from promotion_pipeline.store.statements import statements
from promotion_pipeline.text.numbers import hour_text, instant_text

_SQL = statements(__file__)


class GapKind(StrEnum):
    """What happened to an hour."""

    VANISHED = "vanished"
    """Requests that were counted are not in the log any more; their sums are kept."""
    UNREADABLE = "unreadable"
    """A file that may hold requests of the hour cannot be read."""


@dataclass(frozen=True)
class Unreadable:
    """A part of the log that cannot be read, and the hours that it may hold: [since, until)."""

    name: str
    why: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class LogGap:
    """The hours of one experiment's running phase of which the log is not whole."""

    experiment_id: UUID
    experiment_name: str
    kind: GapKind
    first_hour: datetime
    last_hour: datetime
    hours: int
    requests: int
    detail: str


def keep_what_vanished(
    connection: psycopg.Connection[Any],
    start: datetime,
    end: datetime,
    mine: sql.Composable,
    columns: Sequence[str],
    unreadable: Sequence[Unreadable] = (),
    experiment_ids: Sequence[str] | None = None,
) -> int:
    """Put the stored rows of what the log lost in [start, end) into the temporary table `fresh`, and name it.

    Call it before `fresh` is compared with what is stored. Returns the rollup rows that are kept. A loss is an hour of
    an experiment with requests that has none left; of hours that an unreadable file may hold, any smaller number.

    Args:
        mine: a condition on `stored`, the rollups that the requests in `fresh` make.
        experiment_ids: those that were read; None: all.
    """
    _find_lost_hours(connection, mine, unreadable)
    connection.execute(
        "DELETE FROM fresh USING lost_hours AS lost"
        " WHERE (fresh.experiment_id, fresh.hour) = (lost.experiment_id, lost.hour)"
    )
    kept = connection.execute(
        sql.SQL(
            "INSERT INTO fresh ({}) SELECT {} FROM hourly_variant_rollups AS rollup"
            " JOIN lost_hours USING (experiment_id, hour)"
        ).format(identifiers(columns), identifiers(columns, "rollup"))
    ).rowcount
    _note(connection, start, end, unreadable, None if experiment_ids is None else list(experiment_ids))
    return kept


def _find_lost_hours(
    connection: psycopg.Connection[Any], mine: sql.Composable, unreadable: Sequence[Unreadable]
) -> None:
    """The hours and experiments of which the log has lost what was counted, as the temporary table `lost_hours`."""
    connection.execute(
        _SQL["find_lost_hours"].format(
            mine=mine,
            names=sql.Literal([part.name for part in unreadable]),
            since=sql.Literal([part.since for part in unreadable]),
            until=sql.Literal([part.until for part in unreadable]),
        )
    )


def _note(
    connection: psycopg.Connection[Any],
    start: datetime,
    end: datetime,
    unreadable: Sequence[Unreadable],
    ids: list[str] | None,
) -> None:
    """Make `log_gaps` of [start, end) what was found now; what was found before keeps its time."""
    connection.execute(_SQL["find_gaps"])
    for part in unreadable:
        connection.execute(
            _SQL["find_unreadable_hours"],
            {"name": part.name, "start": start, "end": end, "since": part.since, "until": part.until, "ids": ids},
        )
    connection.execute(
        _SQL["forget_closed_gaps"],
        {"start": start, "end": end, "ids": ids},
    )
    connection.execute(_SQL["note_gaps"])


def log_gaps(connection: psycopg.Connection[Any], experiment_ids: Sequence[UUID] | None = None) -> list[LogGap]:
    """The gaps in the phases that run, one a experiment and kind, by name; what withholds an unattended promotion."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute(
            _SQL["gaps_of_running_phases"],
            {"ids": None if experiment_ids is None else list(experiment_ids)},
        ).fetchall()
    return [LogGap(row[0], row[1], GapKind(row[2]), *row[3:]) for row in rows]


def gap_sentence(gap: LogGap) -> str:
    """One gap in words."""
    hours = hour_text(gap.first_hour)
    if gap.hours > 1:
        hours += f" to {instant_text(gap.last_hour)} ({gap.hours} hours)"
    else:
        hours += " UTC"
    match gap.kind:
        case GapKind.VANISHED:
            return (
                f"{gap.requests:,} requests of {hours} were counted and are not in the log any more: their sums are"
                " kept; put the rows back, or let a person decide"
            )
        case GapKind.UNREADABLE:
            return f"the log of {hours} is not whole: {gap.detail}; repair or remove the file"
