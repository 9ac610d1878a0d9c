"""Late-data verdicts: decisions of record that would be others now, for rows that came late.

Nothing of record is rewritten. The decision as it would be now is stored beside it, under the label `latest`; each
difference is told once, with the promotions that stood on it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from promotion_pipeline.decisions.blocks import digest
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline.store.bulk import identifiers
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import Level, enqueue
from promotion_pipeline.store.payload import OwnWords, Text
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import UNKNOWN, hour_text

_SQL = statements(__file__)

EVENT = "late_verdict"
"""The outbox event."""


class LateVerdictPayload(OwnWords):
    """What the notification of a late verdict says; hour, outcome of record and outcome now of each flip."""

    experiment_name: Text = UNKNOWN
    flips: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class LateChange:
    """An experiment whose sums changed in or before hours that are decided, and were not decided again yet."""

    experiment_id: UUID
    name: str
    first_hour: datetime
    noted_at: datetime


@dataclass(frozen=True)
class Flip:
    """One decision that would be another now."""

    hour: datetime
    recorded: str
    """`promotable`, else the verdict; with the candidate where it was eligible."""
    outcome: str
    """The same of the decision as it would be now."""


@dataclass(frozen=True)
class StoodOn:
    """A promotion whose decision would be another now."""

    id: UUID
    winner: str
    is_live: bool
    is_still_eligible: bool
    """Whether the same variant would be eligible at that hour now."""


@dataclass(frozen=True)
class LateVerdict:
    """What late rows changed of one experiment's decisions, and was not told before."""

    experiment_id: UUID
    experiment_name: str
    flips: tuple[Flip, ...]
    promotions: tuple[StoodOn, ...]

    @property
    def level(self) -> Level:
        """Critical where traffic follows a decision that the data do not bear any more."""
        gone = any(stood.is_live and not stood.is_still_eligible for stood in self.promotions)
        return "critical" if gone else "warning"

    @property
    def summary(self) -> str:
        """Which decisions, and what became of them, in one sentence."""
        first, last = (hour_text(flip.hour + HOUR) for flip in (self.flips[0], self.flips[-1]))
        ways = Counter((flip.recorded, flip.outcome) for flip in self.flips)
        said = ", ".join(f"{was} -> {now} ({number})" for (was, now), number in ways.most_common(5))
        when = f"the decision of {first} UTC" if first == last else f"decisions from {first} to {last} UTC"
        return f"rows that came late would change {when}: {said}"


def late_changes(store: Store) -> tuple[LateChange, ...]:
    """What waits to be decided again, the oldest change first.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        rows = connection.execute(
            """
            SELECT change.experiment_id, experiment.name, change.first_hour, change.noted_at
            FROM late_changes AS change JOIN ab_experiments AS experiment ON experiment.id = change.experiment_id
            ORDER BY change.first_hour, experiment.name
            """
        ).fetchall()
    return tuple(LateChange(**row) for row in rows)


def forget_changes(store: Store, changes: Sequence[LateChange]) -> None:
    """These are decided again; one that was added to meanwhile stays."""
    with store.connect() as connection:
        connection.execute(
            "DELETE FROM late_changes USING unnest(%s::uuid[], %s::timestamptz[]) AS done (id, noted_at)"
            " WHERE experiment_id = done.id AND late_changes.noted_at = done.noted_at",
            ([change.experiment_id for change in changes], [change.noted_at for change in changes]),
        )


THRESHOLDS = tuple(check.threshold_column for check in CONTRACT)
"""Columns of what a decision was judged by."""


def outcome_of(alias: str) -> sql.Composed:
    """SQL of what a decision of the rowset `alias` comes to, in a word or two."""
    return _SQL["outcome"].format(decided=sql.Identifier(alias))


def tell_late_verdicts(
    store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> tuple[LateVerdict, ...]:
    """Compare `latest` with the record in [start, end); note and announce what was not told before.

    Call it only where `latest` was decided with what was in force: else other thresholds would pass for late rows.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection, connection.transaction():
        # One after the other: a flip that two runs find is told by the first.
        connection.execute("LOCK TABLE late_verdicts IN SHARE ROW EXCLUSIVE MODE")
        connection.execute("SET LOCAL enable_nestloop = off")
        query = _SQL["new_flips"].format(
            outcome_of_record=outcome_of("record"),
            outcome_of_latest=outcome_of("latest"),
            same_thresholds=sql.SQL("({}) = ({})").format(
                identifiers(THRESHOLDS, "record"), identifiers(THRESHOLDS, "latest")
            ),
        )
        rows = connection.execute(query, {"start": start, "end": end, "ids": experiment_ids}).fetchall()
        found = tuple(_verdict(list(own)) for _, own in groupby(rows, key=lambda row: row["name"]))
        for late in found:
            _announce(connection, late)
    return found


def _verdict(rows: Sequence[Mapping[str, Any]]) -> LateVerdict:
    stood = [row for row in rows if row["promotion_id"] is not None]
    return LateVerdict(
        experiment_id=rows[0]["experiment_id"],
        experiment_name=rows[0]["name"],
        flips=tuple(Flip(row["hour"], row["recorded"], row["outcome"]) for row in rows),
        promotions=tuple(
            StoodOn(row["promotion_id"], row["winner"], row["is_live"], row["is_still_eligible"]) for row in stood
        ),
    )


def _announce(connection: psycopg.Connection[Any], late: LateVerdict) -> None:
    name = shlex.quote(late.experiment_name)
    live = next((stood for stood in late.promotions if stood.is_live and not stood.is_still_eligible), None)
    compare = f"promotion-pipeline diff record latest --experiment {name}"
    undo = f"promotion-pipeline rollback {name} --reason '...'"
    payload = LateVerdictPayload(
        experiment_name=late.experiment_name,
        title=f"late rows would change {len(late.flips)} decision{'s' if len(late.flips) > 1 else ''}",
        messages=(
            f"{late.summary[0].upper()}{late.summary[1:]}.",
            *(_stood_on(stood) for stood in late.promotions),
            "The decisions of record stay as they were made.",
        ),
        next_step=f"Compare: {compare}" + (f". To undo the promotion: {undo}" if live else ""),
        flips=tuple((flip.hour.isoformat(), flip.recorded, flip.outcome) for flip in late.flips[:100]),
    )
    key = digest(*(part for flip in late.flips for part in (flip.hour.isoformat(), flip.outcome)))
    promotion = live or (late.promotions[0] if late.promotions else None)
    enqueue(
        connection,
        EVENT,
        late.level,
        late.experiment_id,
        None if promotion is None else promotion.id,
        f"{EVENT}:{late.experiment_id}:{key}",
        payload.stored(),
    )


def _stood_on(stood: StoodOn) -> str:
    verb = "is live" if stood.is_live else "was rolled back"
    now = "would still be eligible" if stood.is_still_eligible else "would not be eligible"
    return f"The promotion of {stood.winner} stood on one of them: it {verb}, and {now} with these rows."
