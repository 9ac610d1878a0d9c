"""Answers made again from what was recorded."""

from __future__ import annotations

from datetime import datetime

from promotion_pipeline.api.guard import Visit
from promotion_pipeline.config import parse_config
from promotion_pipeline.promotion.assess import Assessment
from promotion_pipeline.promotion.experiments import Experiment
from promotion_pipeline.promotion.history import get_promotion_history
from promotion_pipeline.promotion.models import Promotion, PromotionEligibility
from promotion_pipeline.promotion.wording import eligibility_of


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


def promotion_of_this_request(visit: Visit, experiment_name: str) -> Promotion | None:
    """The live promotion, if this very request made it.

    The answer may have been lost between COMMIT and the client (a crash, a cut connection): whoever asks again
    with the same Idempotency-Key is told what was done, not that it was done already.
    """
    if visit.idempotency_key is None:
        return None
    for promotion in get_promotion_history(experiment_name, store=visit.store):
        mark = promotion.metadata.get("http", {})
        is_mine = promotion.promoted_by == visit.actor and mark.get("idempotencyKey") == visit.idempotency_key
        if promotion.is_live and is_mine:
            return promotion
    return None
