"""Forgetting a user: the id goes, the sums and every decision of record stay.

The id is replaced by a random mark that nobody can lead back to it, the same everywhere: rows that come late are still
told from those that are counted, and an hour that is rolled up again has the same sums.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from promotion_pipeline.errors import ConflictError, InputError
from promotion_pipeline.rollups.reconcile import ROLLUP_LOCK
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.user_ids import settle_user_ids

KEPT_IN = ("hourly_user_rollups", "user_totals", "metric_users", "hourly_user_metrics")
"""The tables of the product that hold users' ids, as `kept_user_id` makes them."""
ACTORS = {
    "experiment_promotions": ("promoted_by", "rolled_back_by"),
    "promotion_approvals": ("answered_by",),
    "promotion_audit": ("actor",),
}
"""Where people are named who acted: records of another kind, which nobody rewrites."""


@dataclass(frozen=True)
class Forgotten:
    """What `forget_user` replaced, or would."""

    rows: dict[str, int]
    """Rows by table."""
    requests_left: int
    """Rows of `ai_requests` that still hold the id: it was asked to leave them."""
    acts: int
    """Records of acts by a person of that name; they stay."""


def forget_user(store: Store, user_id: str, *, requests: bool = True, dry_run: bool = False) -> Forgotten:
    """Replace a user's id wherever it is kept; one transaction.

    O(rows of users): no index leads from a user to the hours.

    Args:
        user_id: as it stands in the log.
        requests: also in `ai_requests`. Otherwise take it out there yourself: what the look-back reads again would
            bring the id back.
        dry_run: count only.

    Raises:
        InputError: the id is empty, or holds a character that no text can.
        ConflictError: `ai_requests` cannot be changed here.
        ConfigError: the stored ids were hashed with another key.
        DependencyError: the database cannot be reached.
    """
    if not user_id or "\x00" in user_id:
        raise InputError(f"user_id {user_id[:100]!r} is no id: give it as it stands in the log")
    with store.connect() as connection, connection.transaction(force_rollback=dry_run):
        # No rollup may run meanwhile: it would write the id again.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLLUP_LOCK,))
        settle_user_ids(connection, store.settings.user_id_keys)
        kind = _type_of_ids(connection)
        mark = _mark(kind)
        rows = {name: _rows_of(connection, name, user_id) for name in KEPT_IN}
        for name in KEPT_IN:
            # Replacing an hour's id changes its total by a trigger; totals without an hour are replaced as the second
            # table.
            _replace(connection, name, user_id, mark)
        found = _count(connection, "SELECT count(*) AS number FROM ai_requests WHERE user_id::text = %s", user_id)
        if requests:
            rows["ai_requests"] = _replace_in_requests(connection, user_id, mark, kind) if found else 0
        rows["ai_events"] = connection.execute(
            "UPDATE ai_events SET user_id = %s WHERE user_id = %s", (mark, user_id)
        ).rowcount
        # After the events: replacing their id notes them under the old one too.
        connection.execute("UPDATE metric_event_changes SET user_id = %s WHERE user_id = %s", (mark, user_id))
        return Forgotten(rows, 0 if requests else found, _acts(connection, user_id))


def _rows_of(connection: Connection, table: str, user_id: str) -> int:
    query = sql.SQL("SELECT count(*) AS number FROM {} WHERE user_id = kept_user_id(%s)")
    return _count(connection, query.format(sql.Identifier(table)), user_id)


def _replace(connection: Connection, table: str, user_id: str, mark: str) -> None:
    query = sql.SQL("UPDATE {} SET user_id = kept_user_id(%s) WHERE user_id = kept_user_id(%s)")
    connection.execute(query.format(sql.Identifier(table)), (mark, user_id))


def _type_of_ids(connection: Connection) -> str:
    row = connection.execute(
        "SELECT typcategory::text || ':' || typname AS kind FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid"
        " WHERE attrelid = 'ai_requests'::regclass AND attname = 'user_id'"
    ).fetchone()
    return "S:text" if row is None else str(row["kind"])


def _mark(kind: str) -> str:
    """A random id of the column's type that says nothing of the user."""
    if kind.startswith("N:"):
        return str(-secrets.randbelow(2**31 - 1) - 1)
    return str(uuid4()) if kind.startswith("U:") else f"forgotten:{uuid4()}"


def _replace_in_requests(connection: Connection, user_id: str, mark: str, kind: str) -> int:
    target = sql.SQL("%s::{}").format(sql.Identifier(kind.partition(":")[2]))
    statement = sql.SQL("UPDATE ai_requests SET user_id = {} WHERE user_id::text = %s").format(target)
    try:
        with connection.transaction():
            return connection.execute(statement, (mark, user_id)).rowcount
    except psycopg.Error as error:
        raise ConflictError(
            f"ai_requests cannot be changed here ({' '.join(str(error.diag.message_primary).split())}): nothing was"
            " changed; take the id out of it yourself, then run this with --keep-requests"
        ) from None


def _acts(connection: Connection, user_id: str) -> int:
    return sum(
        _count(connection, f"SELECT count(*) AS number FROM {table} WHERE {column} = %s", user_id)
        for table, columns in ACTORS.items()
        for column in columns
    )


def _count(connection: Connection, query: Any, *parameters: object) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return int(row["number"])
