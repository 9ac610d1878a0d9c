"""An act whose answer was lost is not done again: what it did is read off the audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from promotion_pipeline.api.guard import RequestContext
from promotion_pipeline.api.idempotency import EarlierAct, act_under_key
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.models import Approval, Hold, Promotion
from promotion_pipeline.promotion.record.queries import approvals_where, promotion_of

_Answer = TypeVar("_Answer")


def acted_once(
    context: RequestContext,
    experiment_name: str,
    action: Action,
    act: Callable[[], _Answer],
    again: Callable[[EarlierAct], _Answer],
) -> _Answer:
    """What `act` gives, or `again` if this very request did it before.

    The answer may have been lost between COMMIT and the client (a crash, a cut connection): whoever asks again
    with the same Idempotency-Key is told what was done; it is neither done twice nor called a conflict.

    Raises:
        PromotionError: of `act`; KeyReusedError: the key belongs to an act with another body.
    """
    earlier = _earlier(context, experiment_name, action)
    if earlier is not None:
        return again(earlier)
    try:
        return act()
    except ConflictError:
        # A COMMIT that was under way when its process died is seen only after waiting for the experiment's lock.
        earlier = _earlier(context, experiment_name, action)
        if earlier is None:
            raise
        return again(earlier)


def promotion_acted_on(context: RequestContext, earlier: EarlierAct) -> Promotion:
    """The promotion that an earlier act made or rolled back, as it is recorded now."""
    assert earlier.promotion_id is not None
    with context.store.connect() as connection:
        promotion = promotion_of(connection, earlier.promotion_id)
    assert promotion is not None
    return promotion


def approval_acted_on(context: RequestContext, earlier: EarlierAct) -> Approval:
    """The request for approval that an earlier act answered."""
    with context.store.connect() as connection:
        return approvals_where(connection, "a.id = %s", [earlier.details["approval_id"]])[0]


def hold_acted_on(context: RequestContext, experiment_name: str, hold: str | None, earlier: EarlierAct) -> Hold:
    """The hold as an earlier act left it."""
    return Hold(experiment_name=experiment_name, hold=hold, changed_by=context.actor, changed_at=earlier.at)


def _earlier(context: RequestContext, experiment_name: str, action: Action) -> EarlierAct | None:
    if context.idempotency_key is None:
        return None
    return act_under_key(
        context.store, experiment_name, action, context.actor, context.idempotency_key, context.fingerprint
    )
