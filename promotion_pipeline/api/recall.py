"""An act whose answer was lost is not done again: what it did is read off the audit."""

from __future__ import annotations

from typing import TypeVar

from promotion_pipeline.api.guard import GuardedRequest
from promotion_pipeline.api.idempotency import act_under_key
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.offered import Asked, OfferedAct
from promotion_pipeline.promotion.record.events import Action, AuditEntry

_Answer = TypeVar("_Answer")


def acted_once(context: GuardedRequest, act: OfferedAct[_Answer], asked: Asked) -> _Answer:
    """Do an act, or say what it did if this very request did it before.

    The answer may have been lost between COMMIT and the client (a crash, a cut connection): whoever asks again
    with the same Idempotency-Key is told what was done; it is neither done twice nor called a conflict.

    Raises:
        PromotionError: of the act; KeyReusedError: the key belongs to an act with another body.
    """
    earlier = _earlier(context, asked.experiment_name, act.action)
    if earlier is None:
        try:
            return act.perform(asked, context.store)
        except ConflictError:
            # The first try may have committed just before its process died. While that COMMIT was under way it was
            # not visible; the conflict shows that it is done, so the audit is read again.
            earlier = _earlier(context, asked.experiment_name, act.action)
            if earlier is None:
                raise
    with context.store.connect() as connection:
        return act.recall(connection, earlier)


def _earlier(context: GuardedRequest, experiment_name: str, action: Action) -> AuditEntry | None:
    key = context.idempotency_key
    if key is None:
        return None
    return act_under_key(context.store, experiment_name, action, context.actor, key, context.fingerprint)
