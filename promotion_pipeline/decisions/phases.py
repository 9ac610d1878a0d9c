"""Experiments that were changed past the triggers of the database: found, and noted from now on.

Logical replication, a restore of data only and whoever sets `session_replication_role` to replica fire no trigger:
the open phase then speaks of a split that is not served any more. Looking at what is, instead of waiting to be told,
finds them whatever wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from promotion_pipeline.store.database import Connection, Store


def unnoted_experiments(connection: Connection, experiment_ids: Sequence[UUID] | None = None) -> set[UUID]:
    """The experiments whose tables are not what their open phase, or the set-up in force, says; None: among all.

    A draft (no start yet) has no phase and no set-up in force to agree with, so only one that is still open counts.
    """
    rows = connection.execute(
        "SELECT experiment_id FROM ab_unnoted(%s::uuid[]) AS unnoted WHERE NOT EXISTS (SELECT 1 FROM ab_experiments"
        " AS e WHERE e.id = unnoted.experiment_id AND e.start_date IS NULL) OR EXISTS (SELECT 1 FROM"
        " ab_experiment_phases AS open WHERE open.experiment_id = unnoted.experiment_id AND open.ended_at IS NULL)",
        [None if experiment_ids is None else list(experiment_ids)],
    )
    return {row["experiment_id"] for row in rows}


def note_experiment(connection: Connection, experiment_id: UUID) -> None:
    """Open the phase that the experiment's tables ask for, from now on, and keep its set-up: as the triggers would."""
    connection.execute("SELECT ab_sync_phase(%(id)s), ab_note_history(%(id)s)", {"id": experiment_id})


def note_unnoted(store: Store) -> tuple[str, ...]:
    """Bring every phase in line with the tables, an experiment a transaction; names those that were not.

    What was measured between the change and now stays in the phase before, which nothing acts on any more.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        found = sorted(unnoted_experiments(connection))
        for experiment_id in found:
            with connection.transaction():
                note_experiment(connection, experiment_id)
        rows = connection.execute("SELECT name FROM ab_experiments WHERE id = ANY(%s) ORDER BY name", [found])
        return tuple(row["name"] for row in rows)
