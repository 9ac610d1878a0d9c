"""Events that no trigger has seen, as of a restore: found by counting, and noted for the next run.

`metric_event_changes` is filled by triggers. What is written past them is neither in the sums nor to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from promotion_pipeline.rollups.metrics.definitions import PhaseMetrics, metric_rows
from promotion_pipeline.rollups.metrics.readable import events_problem, states_events
from promotion_pipeline.rollups.metrics.stated import phases_with_metrics
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount
from promotion_pipeline.store.user_ids import settle_user_ids
from promotion_pipeline.text.numbers import count_text

_SQL = statements(__file__)
_UNNOTED = _SQL["unnoted"].format(amount=amount(sql.SQL("event.value"), "numeric"))


@dataclass(frozen=True)
class UnnotedEvents:
    """Events of one phase that its sums do not have as they are, and of which nothing says that they changed."""

    hours: int
    uncounted: int = 0
    """There, and in no sum."""
    gone: int = 0
    """In the sums, and not there any more."""
    changed: int = 0
    """Hours of users whose events have other values now."""
    astray: int = 0
    """Hours whose sums are not those of their users."""

    @property
    def is_repairable(self) -> bool:
        """Whether the next hourly run can settle it."""
        return bool(self.uncounted or self.changed)

    @property
    def sentence(self) -> str:
        """What differs, in words."""
        parts = []
        if self.uncounted:
            parts.append(f"{count_text(self.uncounted)} events in ai_events are not in the sums of its metrics")
        if self.changed:
            parts.append(f"events of {count_text(self.changed)} hours of users have other values than in the sums")
        if parts:
            parts.append("they came past the database's triggers (a restore, logical replication)")
            parts.append("the next hourly run counts them")
        if self.gone:
            parts.append(f"{count_text(self.gone)} events in the sums of its metrics are gone from ai_events")
        if self.astray:
            parts.append(f"the sums of its metrics were changed in {count_text(self.astray)} hours by something else")
        return "; ".join(parts)


def unnoted_events(
    connection: psycopg.Connection[Any], keys: str | None, phase_ids: Sequence[UUID], until: datetime
) -> dict[UUID, UnnotedEvents]:
    """What differs before `until`, by phase; only of phases where something does. Nothing is written.

    O(events of the phases' metrics). Nothing where `ai_events` cannot be read: its metrics are not measured then.

    Args:
        keys: `Settings.user_id_keys`.

    Raises:
        ConfigError: the stored ids were hashed with another key.
    """
    if not phase_ids:
        return {}
    wanted = set(map(str, phase_ids))
    with connection.transaction(force_rollback=True):
        phases = [phase for phase in phases_with_metrics(connection) if phase.phase_id in wanted]
        if not states_events(phases) or events_problem(connection) is not None:
            return {}
        settle_user_ids(connection, keys)
        parameters = _parameters(phases, None, until)
        with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            differ = cursor.execute(_SQL["by_phase"].format(unnoted=_UNNOTED), parameters).fetchall()
            astray = cursor.execute(_SQL["sums_astray"], parameters).fetchall()
    found = {row.pop("phase_id"): UnnotedEvents(**row) for row in differ}
    for row in astray:
        known = found.get(row["phase_id"], UnnotedEvents(0))
        found[row["phase_id"]] = UnnotedEvents(
            max(known.hours, row["hours"]), known.uncounted, known.gone, known.changed, row["hours"]
        )
    return found


def note_unnoted_events(store: Store, experiment_id: UUID, until: datetime) -> None:
    """Note the events of one experiment that no trigger saw, so that the next hourly run counts them.

    Two at once note the same twice, which counts once.
    """
    with store.connect() as connection, connection.transaction():
        settle_user_ids(connection, store.settings.user_id_keys)
        phases = phases_with_metrics(connection, [str(experiment_id)])
        if states_events(phases) and events_problem(connection) is None:
            note_in(connection, phases, None, until)


def note_in(
    connection: psycopg.Connection[Any], phases: Sequence[PhaseMetrics], since: datetime | None, until: datetime
) -> int:
    """The same in a transaction that keeps ids as they are stored; returns how many hours of users were noted.

    Args:
        since: only events of this time on, which an index finds; None: from the start of each phase.
    """
    return connection.execute(_SQL["note"].format(unnoted=_UNNOTED), _parameters(phases, since, until)).rowcount


def _parameters(phases: Sequence[PhaseMetrics], since: datetime | None, until: datetime) -> dict[str, Any]:
    return {"metrics": Jsonb(metric_rows(phases, ())), "since": since or "-infinity", "until": until}
