"""Approvals: eligible, but a person decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.holds import set_hold
from promotion_pipeline.promotion.act.payload import ApprovalDeclinedPayload, ApprovalRequestedPayload
from promotion_pipeline.promotion.act.promote import (
    LockedAssessment,
    PromotionOrder,
    on_hold,
    record_promotion,
    require_eligible,
    require_not_promoted,
)
from promotion_pipeline.promotion.judge.distrust import Despite, acknowledgement, despite_of
from promotion_pipeline.promotion.judge.wording import withheld_sentence
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.experiments import experiments_named
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import (
    ConfigLike,
    experiment_name_of,
    json_object,
    request_config,
    required_text,
)
from promotion_pipeline.promotion.record.models import Approval, Promotion
from promotion_pipeline.promotion.record.queries import OPEN, approvals_where, open_approval, set_approval
from promotion_pipeline.promotion.record.states import ApprovalState, PromotionType
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    database_errors,
    in_transaction,
    lock_experiment,
    store_or_current,
)
from promotion_pipeline.store.database import Connection, Store

EXPIRY_ACTOR = "promotion-pipeline"


def approve_promotion(
    experiment_name: str,
    approved_by: str,
    config: ConfigLike = None,
    *,
    reason: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    despite: Sequence[Despite | str] = (),
    store: Store | None = None,
) -> Promotion:
    """Say yes to the open request of an experiment, and promote in the same transaction.

    The contract is checked again at the newest complete hour; the promotion is `manual`, by the person who approves.
    Where the numbers cannot be trusted, `despite` must name why (`["sample_ratio_mismatch"]`), and `reason` say why
    you promote all the same.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: nothing waits for approval, the request expired, or another candidate leads now.
        AlreadyPromotedError: a live promotion exists.
        UntrustedError: the numbers cannot be trusted, and `despite` does not name why.
        NotEligibleError: the contract does not pass any more.
        InputError, ConfigError: a value cannot be used.
        DependencyError: the database is down.

    >>> approve_promotion("pricing-page", "user-123", reason="numbers are sound").promotion_type.value
    'manual'
    """
    name = experiment_name_of(experiment_name)
    actor, why, request = required_text(approved_by, "approved_by"), _optional(reason), request_config(config)
    details, acknowledged = json_object(metadata, "metadata"), despite_of(despite)
    where = store_or_current(store)

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, where, name)
        require_not_promoted(context)
        waiting = _require_waiting(context)
        locked = require_eligible(context, request)
        _require_same_candidate(waiting, locked)
        marks = acknowledgement(locked.assessment, acknowledged, why)
        answer = {"approval_id": str(waiting.id), "reason": why, **locked.brought, **marks, **on_hold(context)}
        context.audit(actor, Action.APPROVE, None, answer)
        known = {"approval_id": str(waiting.id), "approval_reason": why, **details, **marks}
        answered = waiting.model_copy(update={"reason": why})
        return record_promotion(context, locked, PromotionOrder(PromotionType.MANUAL, actor, known, answered))

    promotion = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return promotion


def decline_promotion(experiment_name: str, declined_by: str, reason: str, *, store: Store | None = None) -> Approval:
    """Say no to the open request; automatic promotion of the experiment is on hold until `release_hold`.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: nothing waits for approval.
        InputError: a value is empty.
        DependencyError: the database is down.

    >>> decline_promotion("checkout-button", "user-123", "legal has to look first").state.value
    'declined'
    """
    name = experiment_name_of(experiment_name)
    actor, why = required_text(declined_by, "declined_by"), required_text(reason, "reason")
    where = store_or_current(store)

    def act(connection: Connection) -> Approval:
        context = lock_experiment(connection, where, name)
        waiting = _require_waiting(context)
        declined = set_approval(connection, waiting.id, ApprovalState.DECLINED, actor, why)
        hold = f"declined by {actor}: {why}"
        set_hold(context, hold)
        details = {"approval_id": str(waiting.id), "candidate": waiting.candidate_variant_name, "reason": why}
        payload = ApprovalDeclinedPayload(**details, declined_by=actor)
        context.audit(actor, Action.DECLINE, None, details)
        context.notify(Event.APPROVAL_DECLINED, "info", None, f"declined:{waiting.id}", payload)
        return declined

    answered = in_transaction(where, act)
    reached(FaultPoint.AFTER_COMMIT)
    return answered


def request_approval(context: ActContext, locked: LockedAssessment, actor: str) -> tuple[Approval, bool]:
    """Ask a person, once a candidate; returns the open request and whether it is new. The caller holds the lock."""
    assessment = locked.assessment
    decision, eligibility = assessment.decision, assessment.eligibility
    assert decision is not None
    waiting = expire_if_due(context)
    if waiting is not None:
        if str(waiting.candidate_variant_id) == decision["candidate_variant_id"]:
            return waiting, False
        reason = f"{decision['candidate_variant_name']!r} leads now"
        set_approval(context.connection, waiting.id, ApprovalState.SUPERSEDED, actor, reason)
    row = context.connection.execute(
        "INSERT INTO promotion_approvals (experiment_id, candidate_variant_id, candidate_variant_name, as_of, decision,"
        " requested_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
        [
            context.experiment.id,
            decision["candidate_variant_id"],
            decision["candidate_variant_name"],
            assessment.as_of,
            Jsonb(eligibility.to_json()),
            context.at,
            context.at + timedelta(hours=locked.config.approval_expiry_hours),
        ],
    ).fetchone()
    assert row is not None
    details = {
        "approval_id": str(row["id"]),
        "candidate": decision["candidate_variant_name"],
        "withheld": [withheld_sentence(assessment, reason) for reason in assessment.withheld],
    }
    context.audit(actor, Action.REQUEST_APPROVAL, None, {**details, **locked.brought})
    numbers = {name: decision[name] for name in ("confidence", "improvement", "sample_size", "shrunken_lift")}
    payload = ApprovalRequestedPayload(
        **details,
        **numbers,
        warnings=eligibility.warnings,
        distrust=(eligibility.distrust,) if eligibility.distrust else (),
        as_of=assessment.as_of,
    )
    context.notify(Event.APPROVAL_REQUESTED, "info", None, f"approval:{row['id']}", payload)
    return approvals_where(context.connection, "a.id = %s", [row["id"]])[0], True


def expire_if_due(context: ActContext) -> Approval | None:
    """The open request of the locked experiment, after one whose time is over was closed."""
    waiting = open_approval(context.connection, context.experiment.id)
    if waiting is None or waiting.expires_at > context.at:
        return waiting
    set_approval(context.connection, waiting.id, ApprovalState.EXPIRED, waiting.answered_by or EXPIRY_ACTOR, None)
    context.audit(EXPIRY_ACTOR, Action.EXPIRE_APPROVAL, None, {"approval_id": str(waiting.id)})
    return None


def expire_approvals(store: Store) -> int:
    """Close every request whose time is over; returns how many."""
    with store.connect() as connection, database_errors():
        due = [
            row["experiment_id"]
            for row in connection.execute(
                f"SELECT a.experiment_id FROM promotion_approvals a WHERE {OPEN} AND a.expires_at <= clock_timestamp()"
            )
        ]
    return sum(in_transaction(store, partial(_expire, store, experiment_id)) for experiment_id in due)


def _expire(store: Store, experiment_id: UUID, connection: Connection) -> bool:
    return expire_if_due(lock_experiment(connection, store, experiment_id)) is None


def open_approvals(store: Store | None = None) -> list[Approval]:
    """Every request that waits for an answer, newest first.

    Raises:
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        return approvals_where(connection, f"{OPEN} AND a.expires_at > clock_timestamp()", [])


def approval_history(experiment_name: str, *, store: Store | None = None) -> list[Approval]:
    """Every request of an experiment, newest first.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [experiment_name_of(experiment_name)])[0]
        return approvals_where(connection, "a.experiment_id = %s", [experiment.id])


def _require_waiting(context: ActContext) -> Approval:
    """The open request of the locked experiment.

    Raises:
        ConflictError: there is none, or its time is over.
    """
    name = context.experiment.name
    waiting = open_approval(context.connection, context.experiment.id)
    if waiting is None:
        raise ConflictError(f"nothing waits for approval on {name!r}: check it, and promote it if it is eligible")
    if waiting.expires_at <= context.at:
        raise ConflictError(
            f"the request on {name!r} expired at {waiting.expires_at.isoformat(timespec='seconds')}:"
            " the next check asks again if it is still eligible, or promote it"
        )
    return waiting


def _require_same_candidate(waiting: Approval, locked: LockedAssessment) -> None:
    decision = locked.assessment.decision
    assert decision is not None
    if str(waiting.candidate_variant_id) != decision["candidate_variant_id"]:
        raise ConflictError(
            f"the request on {waiting.experiment_name!r} is about {waiting.candidate_variant_name!r}, but"
            f" {decision['candidate_variant_name']!r} leads now: look again, then promote it or wait for the next one"
        )


def _optional(reason: str | None) -> str | None:
    return None if reason is None else required_text(reason, "reason")
