"""Rows of the lifecycle's tables as results, and the queries that find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.promotion.models import Approval, Promotion
from promotion_pipeline.store.adoption.promotions import NAME_COLUMN
from promotion_pipeline.store.database import Connection

NOT_RECORDED = "(not recorded)"

_APPROVAL = """
    SELECT a.id, a.experiment_id, e.name AS experiment_name, a.candidate_variant_id, a.candidate_variant_name, a.state,
        a.as_of, a.requested_at, a.expires_at, a.answered_at, a.answered_by, a.reason, a.promotion_id, a.decision
    FROM promotion_approvals a JOIN ab_experiments e ON e.id = a.experiment_id
"""
OPEN = "(a.state = 'awaiting_approval' OR (a.state = 'approved' AND a.promotion_id IS NULL))"


def promotion_from(row: Mapping[str, Any]) -> Promotion:
    """A row of `experiment_promotions`; the rounded columns come back in full precision."""
    exact = {
        "confidence": 100.0 * (1.0 - row["p_value"]),
        "improvement": row["snapshot"]["decision"]["improvement"],
        "promoted_by": row.get(NAME_COLUMN) or str(row["promoted_by"] or NOT_RECORDED),
    }
    # A team's own table may have more columns, and times without a zone, which are UTC.
    known = {name: _in_utc(value) for name, value in row.items() if name in Promotion.model_fields}
    return Promotion(**{**known, **exact})


def _in_utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def promotions_where(connection: Connection, condition: str, parameters: Sequence[object]) -> list[Promotion]:
    """Promotions of a condition, newest first."""
    rows = connection.execute(
        f"SELECT * FROM experiment_promotions WHERE {condition} ORDER BY promoted_at DESC, id", parameters
    )
    return [promotion_from(row) for row in rows]


def live_promotion(connection: Connection, experiment_id: UUID) -> Promotion | None:
    """The promotion that governs the traffic of an experiment, if any."""
    condition = "experiment_id = %s AND state IN ('ramping', 'promoted')"
    return next(iter(promotions_where(connection, condition, [experiment_id])), None)


def promotion_of(connection: Connection, promotion_id: UUID) -> Promotion | None:
    """The promotion of an id."""
    return next(iter(promotions_where(connection, "id = %s", [promotion_id])), None)


def approvals_where(connection: Connection, condition: str, parameters: Sequence[object]) -> list[Approval]:
    """Approvals (table alias `a`) of a condition, newest first."""
    rows = connection.execute(f"{_APPROVAL} WHERE {condition} ORDER BY a.requested_at DESC, a.id", parameters)
    return [Approval(**row) for row in rows]


def open_approval(connection: Connection, experiment_id: UUID) -> Approval | None:
    """The request that waits for an answer, or was approved and waits to be applied."""
    return next(iter(approvals_where(connection, f"a.experiment_id = %s AND {OPEN}", [experiment_id])), None)


def set_approval(
    connection: Connection,
    approval_id: UUID,
    state: str,
    by: str,
    reason: str | None,
    promotion_id: UUID | None = None,
) -> Approval:
    """Answer an approval, or link the promotion that it led to."""
    connection.execute(
        "UPDATE promotion_approvals SET state = %s, answered_at = clock_timestamp(), answered_by = %s,"
        " reason = coalesce(%s, reason), promotion_id = %s WHERE id = %s",
        [state, by, reason, promotion_id, approval_id],
    )
    return approvals_where(connection, "a.id = %s", [approval_id])[0]
