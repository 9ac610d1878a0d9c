"""Rows of the lifecycle's tables as results, and the queries that find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.promotion.record.models import Approval, Promotion
from promotion_pipeline.store.adoption.promotions import NAME_COLUMN
from promotion_pipeline.store.database import Connection

_PROMOTION = """
    SELECT *,
        (SELECT to_jsonb(w) - 'promotion_id' FROM promotion_watch w
            WHERE w.promotion_id = experiment_promotions.id) AS watch,
        (SELECT a.details ->> 'to' FROM promotion_audit a
            WHERE experiment_promotions.state = 'rolled_back' AND a.action = 'roll_back'
                AND a.experiment_id = experiment_promotions.experiment_id
                AND a.promotion_id = experiment_promotions.id
            LIMIT 1) AS rollback_to,
        (SELECT a.details -> 'http' FROM promotion_audit a WHERE a.promotion_id = experiment_promotions.id
            AND a.action IN ('promote', 'shadow_promote') ORDER BY a.id LIMIT 1) AS promote_http,
        (SELECT a.details -> 'http' FROM promotion_audit a WHERE a.promotion_id = experiment_promotions.id
            AND a.action = 'roll_back' ORDER BY a.id LIMIT 1) AS rollback_http
    FROM experiment_promotions
"""
NOT_RECORDED = "(not recorded)"

_APPROVAL = """
    SELECT a.id, a.experiment_id, e.name AS experiment_name, a.candidate_variant_id, a.candidate_variant_name, a.state,
        a.as_of, a.requested_at, a.expires_at, a.answered_at, a.answered_by, a.reason, a.promotion_id, a.decision
    FROM promotion_approvals a JOIN ab_experiments e ON e.id = a.experiment_id
"""
OPEN = "(a.state = 'awaiting_approval' OR (a.state = 'approved' AND a.promotion_id IS NULL))"


def promotion_from(row: Mapping[str, Any]) -> Promotion:
    """A row of `experiment_promotions`; the rounded columns come back in full precision."""
    columns = dict(row)
    promote_http, rollback_http = columns.pop("promote_http", None), columns.pop("rollback_http", None)
    promoted_by = row.get(NAME_COLUMN) or str(row["promoted_by"] or NOT_RECORDED)
    claimed_by, promoted_through = claimed_and_through(promote_http, promoted_by)
    rollback_claimed_by, rolled_back_through = claimed_and_through(rollback_http, row["rolled_back_by"])
    exact = {
        "confidence": 100.0 * (1.0 - row["p_value"]),
        "improvement": row["snapshot"]["decision"]["improvement"],
        "promoted_by": promoted_by,
        "claimed_by": claimed_by,
        "promoted_through": promoted_through,
        "rollback_claimed_by": rollback_claimed_by,
        "rolled_back_through": rolled_back_through,
    }
    # An adopted table may have columns of the team's own, which are dropped, and times without a zone, which are UTC.
    known = {name: _in_utc(value) for name, value in columns.items() if name in Promotion.model_fields}
    return Promotion(**{**known, **exact})


def _in_utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def claimed_and_through(http: Mapping[str, Any] | None, actor: str | None) -> tuple[str | None, str | None]:
    """Who the request said it was, and its credential; each only where it is not the actor."""
    if http is None:
        return None, None
    claims: Mapping[str, str] = http.get("claimed") or {}
    # A body may name two people. `promotedBy` and the like name who acts; `userId` only who sent the request.
    claimed = next(iter([said for name, said in claims.items() if name != "userId"] + list(claims.values())), None)
    through = http.get("through")
    return None if claimed == actor else claimed, None if through == actor else through


def promotions_where(connection: Connection, condition: str, parameters: Sequence[object]) -> list[Promotion]:
    """Promotions of a condition, newest first, each with what the watch keeps of it."""
    rows = connection.execute(f"{_PROMOTION} WHERE {condition} ORDER BY promoted_at DESC, id", parameters)
    return [promotion_from(row) for row in rows]


LIVE = "state IN ('ramping', 'promoted')"
"""The promotion that governs the traffic."""


def live_promotion(connection: Connection, experiment_id: UUID) -> Promotion | None:
    """The promotion that governs the traffic of an experiment, if any."""
    condition = f"{LIVE} AND experiment_id = %s"
    return next(iter(promotions_where(connection, condition, [experiment_id])), None)


def promotion_of(connection: Connection, promotion_id: UUID) -> Promotion | None:
    """The promotion of an id."""
    return next(iter(promotions_where(connection, "id = %s", [promotion_id])), None)


def reread(connection: Connection, promotion: Promotion) -> Promotion:
    """A promotion with what the audit says of its actors, once that is written."""
    found = promotion_of(connection, promotion.id)
    assert found is not None
    return found


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
