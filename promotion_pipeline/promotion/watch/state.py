"""The table `promotion_watch`: what the watch keeps of a promotion. The rules are in `watch_due`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.watch.drift import DRIFTED
from promotion_pipeline.store.database import Connection, Store

WATCHED = """
    (state = 'ramping' OR (state = 'promoted' AND clock_timestamp() <
        step_started_at + ((config ->> 'watch_hours')::float8) * interval '1 hour' + interval '10 minutes'))
    AND (NOT EXISTS (SELECT 1 FROM traffic_deliveries d
            WHERE d.promotion_id = experiment_promotions.id AND d.state IN ('pending', 'applied'))
        OR EXISTS (SELECT 1 FROM traffic_deliveries d
            WHERE d.promotion_id = experiment_promotions.id AND d.verified_at IS NOT NULL))
"""
"""Ten minutes more than `watch_hours`, so that the last of them is seen whole; and not before anything is served."""

LIVE = "state IN ('ramping', 'promoted')"
OPEN = """
    EXISTS (SELECT 1 FROM promotion_watch w WHERE w.promotion_id = experiment_promotions.id
        AND (w.breached_at IS NOT NULL OR w.blind_since IS NOT NULL OR w.drifted_at IS NOT NULL))
"""
"""Something about it is open that the watch raised."""


def keep(connection: Connection, promotion_id: UUID, values: dict[str, Any]) -> None:
    """Write these columns of a promotion's row; it is made where there is none.

    `values` of a new row need `looked_at`, `status` and `message`.
    """
    adapted = {
        name: Jsonb(value) if isinstance(value, dict | list) and name != "muted" else value
        for name, value in values.items()
    }
    names = [sql.Identifier(name) for name in adapted]
    connection.execute(
        sql.SQL(
            "INSERT INTO promotion_watch (promotion_id, {names}) VALUES (%(promotion_id)s, {values})"
            " ON CONFLICT (promotion_id) DO UPDATE SET {sets}"
        ).format(
            names=sql.SQL(", ").join(names),
            values=sql.SQL(", ").join(map(sql.Placeholder, adapted)),
            sets=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names),
        ),
        {"promotion_id": promotion_id, **adapted},
    )


def close_alarms(connection: Connection, promotion_id: UUID) -> None:
    """The promotion is over: nothing about it is open any more."""
    connection.execute(
        "UPDATE promotion_watch SET breached_at = NULL, breach = NULL, blind_since = NULL, blind_because = NULL,"
        " blind_told_at = NULL, drifted_at = NULL, drift = NULL, muted = '{}' WHERE promotion_id = %s",
        [promotion_id],
    )


@dataclass(frozen=True)
class Standing:
    """What the tables say of one live promotion."""

    is_watched: bool
    """It ramps, or reached 100 percent less than `watch_hours` ago."""
    has_drifted: bool
    has_control: bool
    """Its control still exists."""


def standings(connection: Connection, promotions: Sequence[Promotion]) -> dict[UUID, Standing]:
    """How each promotion stands, in one query."""
    rows = connection.execute(
        f"SELECT id, {WATCHED} AS is_watched, {DRIFTED} AS has_drifted,"
        " EXISTS (SELECT 1 FROM ab_variants v WHERE v.id = control_variant_id) AS has_control"
        " FROM experiment_promotions WHERE id = ANY(%s)",
        [[promotion.id for promotion in promotions]],
    )
    return {row.pop("id"): Standing(**row) for row in rows}


def live_where(connection: Connection, condition: str, experiment_ids: Sequence[UUID] | None = None) -> list[Promotion]:
    """Live promotions of a condition without parameters; `experiment_ids`: of these experiments only."""
    whose, parameters = ("", []) if experiment_ids is None else (" AND experiment_id = ANY(%s)", [list(experiment_ids)])
    return promotions_where(connection, f"{LIVE} AND ({condition}){whose}", parameters)


def anything_watched(store: Store) -> bool:
    """Whether a look has anything to look at.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        found = connection.execute(
            f"SELECT 1 FROM experiment_promotions WHERE {LIVE} AND ({WATCHED} OR {OPEN} OR {DRIFTED}) LIMIT 1"
        ).fetchone()
    return found is not None
