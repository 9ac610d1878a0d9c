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
from promotion_pipeline.text.numbers import instant_text


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
        sql.SQL(
            """
            CREATE TEMPORARY TABLE lost_hours ON COMMIT DROP AS
            WITH counted AS (
                SELECT stored.experiment_id, stored.hour, sum(stored.requests)::bigint AS requests
                FROM hourly_variant_rollups AS stored
                WHERE {mine} AND EXISTS (SELECT 1 FROM ab_experiment_phases AS phase
                    WHERE phase.experiment_id = stored.experiment_id AND phase.is_running
                        AND phase.started_at < stored.hour + interval '1 hour'
                        AND coalesce(phase.ended_at, 'infinity') > stored.hour)
                GROUP BY 1, 2 HAVING sum(stored.requests) > 0
            ), left_over AS (
                SELECT experiment_id, hour, sum(requests)::bigint AS requests
                FROM fresh WHERE phase_id IS NOT NULL GROUP BY 1, 2
            ), files AS (
                SELECT * FROM unnest({names}::text[], {since}::timestamptz[], {until}::timestamptz[])
                    AS file (name, since, until)
            )
            SELECT counted.experiment_id, counted.hour, counted.requests, doubtful.name
            FROM counted LEFT JOIN left_over USING (experiment_id, hour)
            LEFT JOIN LATERAL (SELECT min(name) AS name FROM files
                WHERE files.since < counted.hour + interval '1 hour' AND files.until > counted.hour) AS doubtful ON true
            WHERE left_over.requests IS NULL
                OR (doubtful.name IS NOT NULL AND left_over.requests < counted.requests)
            """
        ).format(
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
    connection.execute(
        """
        CREATE TEMPORARY TABLE found_gaps ON COMMIT DROP AS
        SELECT experiment_id, hour, CASE WHEN name IS NULL THEN 'vanished' ELSE 'unreadable' END AS kind, requests,
            CASE WHEN name IS NULL THEN requests || ' requests that were counted are not in the log any more'
                ELSE name || ' cannot be read' END AS detail
        FROM lost_hours
        """
    )
    for part in unreadable:
        connection.execute(
            """
            INSERT INTO found_gaps
            SELECT DISTINCT phase.experiment_id, passed.hour, 'unreadable', 0, %(name)s || ' cannot be read'
            FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour')
                AS passed (hour)
            JOIN ab_experiment_phases AS phase ON phase.is_running
                AND phase.started_at < passed.hour + interval '1 hour'
                AND coalesce(phase.ended_at, 'infinity') > passed.hour
            JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
            WHERE experiment.rollup_source = 'requests'
                AND (%(ids)s::uuid[] IS NULL OR phase.experiment_id = ANY(%(ids)s::uuid[]))
                AND passed.hour + interval '1 hour' > %(since)s AND passed.hour < %(until)s
                AND NOT EXISTS (SELECT 1 FROM found_gaps AS known
                    WHERE (known.experiment_id, known.hour) = (phase.experiment_id, passed.hour))
                AND (NOT EXISTS (SELECT 1 FROM rollup_hours WHERE rollup_hours.hour = passed.hour)
                    OR EXISTS (SELECT 1 FROM log_gaps AS before WHERE before.kind = 'unreadable'
                        AND (before.experiment_id, before.hour) = (phase.experiment_id, passed.hour)))
            """,
            {"name": part.name, "start": start, "end": end, "since": part.since, "until": part.until, "ids": ids},
        )
    connection.execute(
        """
        DELETE FROM log_gaps AS gap
        WHERE gap.hour >= %(start)s AND gap.hour < %(end)s
            AND (%(ids)s::uuid[] IS NULL OR gap.experiment_id = ANY(%(ids)s::uuid[]))
            AND NOT EXISTS (SELECT 1 FROM found_gaps AS found
                WHERE (found.experiment_id, found.hour) = (gap.experiment_id, gap.hour))
        """,
        {"start": start, "end": end, "ids": ids},
    )
    connection.execute(
        """
        INSERT INTO log_gaps (experiment_id, hour, kind, requests, detail)
        SELECT experiment_id, hour, kind, requests, detail FROM found_gaps
        ON CONFLICT (experiment_id, hour) DO UPDATE
            SET kind = excluded.kind, requests = excluded.requests, detail = excluded.detail
        """
    )


def log_gaps(connection: psycopg.Connection[Any], experiment_ids: Sequence[UUID] | None = None) -> list[LogGap]:
    """The gaps in the phases that run, one a experiment and kind, by name; what withholds an unattended promotion."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute(
            """
            SELECT gap.experiment_id, experiment.name, gap.kind, min(gap.hour), max(gap.hour), count(*),
                sum(gap.requests)::bigint, min(gap.detail)
            FROM log_gaps AS gap
            JOIN ab_experiments AS experiment ON experiment.id = gap.experiment_id
            JOIN ab_experiment_phases AS phase ON phase.experiment_id = gap.experiment_id
                AND phase.ended_at IS NULL AND phase.is_running AND phase.started_at < gap.hour + interval '1 hour'
            WHERE %(ids)s::uuid[] IS NULL OR gap.experiment_id = ANY(%(ids)s)
            GROUP BY 1, 2, 3 ORDER BY 2, 3
            """,
            {"ids": None if experiment_ids is None else list(experiment_ids)},
        ).fetchall()
    return [LogGap(row[0], row[1], GapKind(row[2]), *row[3:]) for row in rows]


def gap_sentence(gap: LogGap) -> str:
    """One gap in words."""
    hours = f"{gap.first_hour:%Y-%m-%d %H:%M}"
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
