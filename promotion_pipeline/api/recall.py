"""Answers made again from what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from promotion_pipeline.api.guard import Visit
from promotion_pipeline.api.idempotency import EarlierAct, act_under_key
from promotion_pipeline.config import parse_config
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.assess import Assessment
from promotion_pipeline.promotion.events import Action
from promotion_pipeline.promotion.experiments import Experiment
from promotion_pipeline.promotion.models import Approval, Hold, Promotion, PromotionEligibility
from promotion_pipeline.promotion.records import approvals_where, promotion_of
from promotion_pipeline.promotion.wording import eligibility_of

_Answer = TypeVar("_Answer")


def eligibility_when_promoted(promotion: Promotion) -> PromotionEligibility:
    """The decision that carried a promotion, as it stood under the experiment's lock.

    It is read off the snapshot: asked anew, the experiment would not be running any more.
    """
    snapshot, watermark = promotion.snapshot, promotion.snapshot.get("watermark")
    experiment = Experiment(
        id=promotion.experiment_id,
        name=promotion.experiment_name,
        is_active=True,
        start_date=promotion.promoted_at,
        promotion_config=None,
        hold=snapshot.get("hold"),
        rollup_source="requests",
        phase_id=promotion.phase_id,
        phase_started_at=None,
        phase_is_running=True,
    )
    assessment = Assessment(
        experiment=experiment,
        as_of=promotion.evaluated_as_of,
        phase_id=promotion.phase_id,
        config=parse_config(promotion.config, source="recorded config"),
        decision=snapshot["decision"],
        metrics=tuple(snapshot["variants"]),
        watermark=datetime.fromisoformat(watermark) if watermark else None,
    )
    return eligibility_of(assessment)


def acted_once(
    visit: Visit,
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
    earlier = _earlier(visit, experiment_name, action)
    if earlier is not None:
        return again(earlier)
    try:
        return act()
    except ConflictError:
        # A COMMIT that was under way when its process died is seen only after waiting for the experiment's lock.
        earlier = _earlier(visit, experiment_name, action)
        if earlier is None:
            raise
        return again(earlier)


def promotion_acted_on(visit: Visit, earlier: EarlierAct) -> Promotion:
    """The promotion that an earlier act made or rolled back, as it is recorded now."""
    assert earlier.promotion_id is not None
    with visit.store.connect() as connection:
        promotion = promotion_of(connection, earlier.promotion_id)
    assert promotion is not None
    return promotion


def approval_acted_on(visit: Visit, earlier: EarlierAct) -> Approval:
    """The request for approval that an earlier act answered."""
    with visit.store.connect() as connection:
        return approvals_where(connection, "a.id = %s", [earlier.details["approval_id"]])[0]


def hold_acted_on(visit: Visit, experiment_name: str, hold: str | None, earlier: EarlierAct) -> Hold:
    """The hold as an earlier act left it."""
    return Hold(experiment_name=experiment_name, hold=hold, changed_by=visit.actor, changed_at=earlier.at)


def _earlier(visit: Visit, experiment_name: str, action: Action) -> EarlierAct | None:
    if visit.idempotency_key is None:
        return None
    return act_under_key(visit.store, experiment_name, action, visit.actor, visit.idempotency_key, visit.fingerprint)
