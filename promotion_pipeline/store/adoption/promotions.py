"""Promotions that a team recorded before us: rows of the specification's own `experiment_promotions`.

Their columns stay as they are. What ours has more is added and filled in by a trigger from what is there, also for rows
that come later from somebody who knows nothing of us.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.store.adoption.catalog import Relation

NAME_COLUMN = "promoted_by_name"
"""Who promoted, on a table whose `promoted_by` is a UUID."""
LOOSENED = {
    "state": "text",
    "evidence": "text NOT NULL DEFAULT 'contract'",
    "p_value": "double precision",
    "z": "double precision",
    "evaluated_as_of": "timestamptz",
    "config": "jsonb NOT NULL DEFAULT '{}'",
    "snapshot": "jsonb",
    "step_started_at": "timestamptz",
}
"""Columns that ours asks of every row: who knows nothing of us does not give them."""
# Rows of ours only; the table belongs to the team.
_RECORDED = "OLD.snapshot IS NOT NULL AND NOT OLD.snapshot ? 'adopted' AND to_jsonb(OLD) IS DISTINCT FROM to_jsonb(NEW)"


def take_over_promotions(connection: psycopg.Connection[Any], relation: Relation) -> None:
    """Complete the rows that are there and follow those to come; in the open transaction."""
    table = relation.identifier
    statements = [
        # Triggers of the team's own stay off meanwhile: nothing of theirs changes.
        "ALTER TABLE {} DISABLE TRIGGER USER",
        "CREATE TRIGGER adopted_promotions_fill BEFORE INSERT OR UPDATE OR DELETE ON {}"
        " FOR EACH ROW EXECUTE FUNCTION adopted_promotions_fill()",
        "UPDATE {} SET state = NULL",
        "ALTER TABLE {} ENABLE TRIGGER USER",
        f"CREATE TRIGGER promotions_keep_history BEFORE UPDATE ON {{}} FOR EACH ROW WHEN ({_RECORDED})"
        " EXECUTE FUNCTION promotions_keep_history()",
    ]
    if relation.columns["promoted_by"].base_type == "uuid":
        statements.append(f"ALTER TABLE {{}} ADD COLUMN {NAME_COLUMN} text")
        statements.append(
            f"COMMENT ON COLUMN {{}}.{NAME_COLUMN} IS 'who promoted, where promoted_by is a UUID and cannot say it'"
        )
    for statement in statements:
        connection.execute(sql.SQL(statement).format(table))
