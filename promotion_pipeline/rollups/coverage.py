"""Which time of every phase is in its rollups, and what of the running phases is not.

`rollup_hours` says that an hour was read, not for whom. An experiment that arrives with its history finds its hours
read already, when nobody knew of it: what counts for a phase is `phase_rollups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from promotion_pipeline.rollups.postgresql.arms import hour_of
from promotion_pipeline.store.bulk import Source, read_table, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)

LONGEST_PHASE = timedelta(days=400)
"""An older start is more likely a mistake: reading begins at the experiment's first request instead."""


@dataclass(frozen=True)
class SeenPhase:
    """A phase as a rollup saw it, before it read the requests."""

    id: UUID
    started_at: str
    """As PostgreSQL writes it: it may lie where Python has no time."""
    ended_at: str | None
    traffic: str
    """Digest of the split: with another one, other variants may have been known."""
    has_metrics: bool
    """Whether it states metrics beside the primary one: without any, nothing is asked for them."""


@dataclass(frozen=True)
class Missing:
    """Hours of some experiments that are in no rollup of theirs."""

    start: datetime
    end: datetime
    experiment_ids: tuple[str, ...]


def seen_phases(
    connection: psycopg.Connection[Any], start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> list[SeenPhase]:
    """The phases that a rollup of [start, end) will know of; ask before the requests are read."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute(
            _SQL["seen_phases"],
            {"start": start, "end": end, "ids": None if experiment_ids is None else list(experiment_ids)},
        ).fetchall()
    return [SeenPhase(*row) for row in rows]


def cover(connection: psycopg.Connection[Any], seen: Sequence[SeenPhase], start: datetime, end: datetime) -> None:
    """Note that the requests of these phases in [start, end) are in their rollups now.

    A phase whose variants have changed since it was seen is left out: it is read again.
    """
    connection.execute(
        _SQL["cover"],
        {
            "start": start,
            "end": end,
            "ids": [phase.id for phase in seen],
            "started": [phase.started_at for phase in seen],
            "ended": [phase.ended_at for phase in seen],
            "traffic": [phase.traffic for phase in seen],
        },
    )


_FIRST_REQUEST = sql.SQL(
    """(SELECT min(created_at) FROM promotion_pipeline_requests AS request
        WHERE request.experiment_id = phase.experiment_id AND request.created_at >= lower(missing.time))"""
)


def uncovered(source: Source, end: datetime, phases: sql.Composable, *, is_elsewhere: bool = False) -> list[Missing]:
    """The hours before `end` that are not in the rollups of the phases, grouped by the day of the first.

    Those whose requests were dropped are left out: nothing is left to read. So are experiments whose start cannot be
    used, which are an error whatever their sums: nobody reads decades of hours for them. O(phases).

    Args:
        phases: a condition on `phase`.
        is_elsewhere: the requests are not in `ai_requests`; what lies more than LONGEST_PHASE back is left out.

    Raises:
        InputError: `end` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, end)
    query = _SQL["uncovered"].format(
        first_hour=hour_of(sql.SQL("uncovered.since")),
        last_hour=hour_of(sql.SQL("uncovered.until - interval '1 microsecond'")),
        oldest=time_literal(end - LONGEST_PHASE),
        first_request=time_literal(end - LONGEST_PHASE) if is_elsewhere else _FIRST_REQUEST,
        end=time_literal(end),
        wanted=phases,
    )
    found = read_table(source, query)
    rows = list(zip(*(found[name].to_pylist() for name in ("first", "last", "experiment_id")), strict=True))
    return [
        Missing(
            start=same_day[0][0],
            end=max(last for _, last, _ in same_day) + timedelta(hours=1),
            experiment_ids=tuple(sorted({key for _, _, key in same_day})),
        )
        for same_day in (list(rows) for _, rows in groupby(rows, key=lambda row: row[0].astimezone(UTC).date()))
    ]


RUNNING = sql.SQL(
    "phase.ended_at IS NULL AND phase.is_running AND usable_start(experiment.start_date) = experiment.start_date"
)
"""A condition on `phase` and its `experiment`: it is judged every hour, and its start can be used."""


def requests_kept_since(connection: psycopg.Connection[Any]) -> datetime | None:
    """Requests of before this instant may be gone and their sums are final; None: all are there."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute("SELECT before FROM dropped_requests").fetchone()
    return None if row is None else row[0]
