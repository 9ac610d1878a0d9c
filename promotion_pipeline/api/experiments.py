"""The routes of one experiment: check, promote, roll back, history, approvals, holds."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import (
    AcknowledgeBody,
    AdvanceBody,
    Answer,
    AnswerWithMessage,
    ApproveBody,
    AsOf,
    DeclineBody,
    History,
    HoldBody,
    OverwriteSplitBody,
    PromoteBody,
    Promoted,
    ReleaseBody,
    RollbackBody,
    Stands,
    thresholds_in_query,
)
from promotion_pipeline.api.guard import GuardedRoute, Visit, visit_of
from promotion_pipeline.api.recall import (
    acted_once,
    approval_acted_on,
    eligibility_when_promoted,
    hold_acted_on,
    promotion_acted_on,
)
from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.promotion.alarms import alarms_of
from promotion_pipeline.promotion.approvals import approval_history, approve_promotion, decline_promotion
from promotion_pipeline.promotion.events import Action
from promotion_pipeline.promotion.happened import events_of
from promotion_pipeline.promotion.history import get_promotion_history
from promotion_pipeline.promotion.holds import hold_promotion, release_hold
from promotion_pipeline.promotion.keeping import acknowledge_breach, overwrite_split
from promotion_pipeline.promotion.models import Approval, Hold, Promotion, PromotionEligibility
from promotion_pipeline.promotion.promote import promote_winner
from promotion_pipeline.promotion.ramp import advance_ramp
from promotion_pipeline.promotion.rollback import rollback_promotion
from promotion_pipeline.promotion.standing import in_spite_of_hold, split_text, traffic_now

PREFIX = "/api/monitoring/experiments"

Here = Annotated[Visit, Depends(visit_of)]
Name = Annotated[str, Path(description="Name of the experiment, URL-encoded; a slash as %2F.", min_length=1)]

# `:path` lets a name hold slashes: the server decodes %2F before a route is looked for.
router = APIRouter(prefix=PREFIX, route_class=GuardedRoute, tags=["experiments"])


@router.get("/{name:path}/promote", operation_id="checkEligibility")
@needs(Access.VIEWER)
@thresholds_in_query
def check(
    name: Name, here: Here, config: PromotionConfig | None = None, as_of: AsOf = None
) -> Answer[PromotionEligibility]:
    """Whether the experiment has a winner, and why; changes nothing."""
    return Answer(data=here.door.checks.check(name, config, as_of))


@router.post("/{name:path}/promote", operation_id="promoteWinner")
@needs(Access.OPERATOR)
def promote(name: Name, here: Here, body: PromoteBody | None = None) -> AnswerWithMessage[Promoted]:
    """Move the traffic to the winner, stop the experiment and record why."""
    asked = body or PromoteBody()
    here.claim(promotedBy=asked.promoted_by, userId=asked.user_id)
    metadata = _metadata(here, asked.metadata)
    config = _config(asked.config)
    promotion = acted_once(
        here,
        name,
        Action.PROMOTE,
        lambda: promote_winner(
            name,
            asked.promotion_type,
            here.actor,
            config,
            metadata=metadata,
            despite=asked.despite,
            store=here.store,
        ),
        partial(promotion_acted_on, here),
    )
    return _promoted(here, promotion)


@router.delete("/{name:path}/promote", operation_id="rollBackPromotion")
@needs(Access.OPERATOR)
def roll_back(name: Name, here: Here, body: RollbackBody) -> Answer[Stands]:
    """Undo the live promotion and hold automatic promotion; the same as POST .../rollback."""
    here.claim(rolledBackBy=body.rolled_back_by)
    promotion = acted_once(
        here,
        name,
        Action.ROLL_BACK,
        lambda: rollback_promotion(
            name, body.reason, here.actor, to=body.to, confirm_drift=body.confirm_drift, store=here.store
        ),
        partial(promotion_acted_on, here),
    )
    return Answer(data=_stands(here, promotion).data)


@router.post("/{name:path}/rollback", operation_id="rollBackPromotionByPost")
@needs(Access.OPERATOR)
def roll_back_by_post(name: Name, here: Here, body: RollbackBody) -> Answer[Stands]:
    """Undo the live promotion: for clients and proxies that drop the body of a DELETE."""
    return roll_back(name, here, body)


@router.get("/{name:path}/history", operation_id="getHistory")
@needs(Access.VIEWER)
def history(
    name: Name,
    here: Here,
    shadow: Annotated[bool, Query(description="What would have been promoted in shadow mode instead.")] = False,
) -> Answer[History]:
    """Every promotion of the experiment with its snapshot, and everything else that happened to it, newest first."""
    found = get_promotion_history(name, shadow=shadow, store=here.store)
    latest = found[0] if found else None
    alarms = alarms_of(name, store=here.store)
    return Answer(
        data=History(
            experiment_name=name,
            history=tuple(found),
            count=len(found),
            latest_promotion=latest,
            alarms=alarms,
            events=events_of(name, store=here.store),
        )
    )


@router.get("/{name:path}/approvals", operation_id="getApprovals")
@needs(Access.VIEWER)
def approvals(name: Name, here: Here) -> Answer[list[Approval]]:
    """Every request for approval of the experiment, newest first."""
    return Answer(data=approval_history(name, store=here.store))


@router.post("/{name:path}/approve", operation_id="approvePromotion")
@needs(Access.OPERATOR)
def approve(name: Name, here: Here, body: ApproveBody | None = None) -> AnswerWithMessage[Promoted]:
    """Say yes to the open request, and promote in the same transaction."""
    asked = body or ApproveBody()
    here.claim(approvedBy=asked.approved_by)
    metadata = _metadata(here, asked.metadata)
    config = _config(asked.config)
    promotion = acted_once(
        here,
        name,
        Action.PROMOTE,
        lambda: approve_promotion(
            name,
            here.actor,
            config,
            reason=asked.reason,
            metadata=metadata,
            despite=asked.despite,
            store=here.store,
        ),
        partial(promotion_acted_on, here),
    )
    return _promoted(here, promotion)


@router.post("/{name:path}/advance", operation_id="advanceRamp")
@needs(Access.OPERATOR)
def advance(name: Name, here: Here, body: AdvanceBody | None = None) -> AnswerWithMessage[Stands]:
    """Take the next step of the ramp now, whatever the watch says."""
    asked = body or AdvanceBody()
    here.claim(advancedBy=asked.advanced_by)
    promotion = acted_once(
        here,
        name,
        Action.RAMP,
        lambda: advance_ramp(name, here.actor, reason=asked.reason, to_percent=asked.to_percent, store=here.store),
        partial(promotion_acted_on, here),
    )
    return _stands(here, promotion)


@router.post("/{name:path}/acknowledge", operation_id="acknowledgeBreach")
@needs(Access.OPERATOR)
def acknowledge(name: Name, here: Here, body: AcknowledgeBody) -> AnswerWithMessage[Stands]:
    """Keep the promotion although the watch found its winner worse."""
    here.claim(acknowledgedBy=body.acknowledged_by)
    promotion = acted_once(
        here,
        name,
        Action.ACKNOWLEDGE_BREACH,
        lambda: acknowledge_breach(name, body.reason, here.actor, store=here.store),
        partial(promotion_acted_on, here),
    )
    return _stands(here, promotion)


@router.post("/{name:path}/traffic/overwrite", operation_id="overwriteSplit")
@needs(Access.OPERATOR)
def overwrite(name: Name, here: Here, body: OverwriteSplitBody) -> AnswerWithMessage[Stands]:
    """Put the split of the promotion back after somebody else changed it."""
    here.claim(overwrittenBy=body.overwritten_by)
    promotion = acted_once(
        here,
        name,
        Action.OVERWRITE_SPLIT,
        lambda: overwrite_split(name, body.reason, here.actor, store=here.store),
        partial(promotion_acted_on, here),
    )
    return _stands(here, promotion)


@router.post("/{name:path}/decline", operation_id="declinePromotion")
@needs(Access.OPERATOR)
def decline(name: Name, here: Here, body: DeclineBody) -> Answer[dict[str, Approval]]:
    """Say no to the open request; automatic promotion is on hold from then on."""
    here.claim(declinedBy=body.declined_by)
    approval = acted_once(
        here,
        name,
        Action.DECLINE,
        lambda: decline_promotion(name, here.actor, body.reason, store=here.store),
        partial(approval_acted_on, here),
    )
    return Answer(data={"approval": approval})


@router.post("/{name:path}/hold", operation_id="holdPromotion")
@needs(Access.OPERATOR)
def hold(name: Name, here: Here, body: HoldBody) -> Answer[Hold]:
    """Keep the experiment from being promoted unattended; it also pauses a ramp."""
    here.claim(heldBy=body.held_by)
    held = acted_once(
        here,
        name,
        Action.HOLD,
        lambda: hold_promotion(name, body.reason, here.actor, store=here.store),
        lambda earlier: hold_acted_on(here, name, earlier.details["hold"], earlier),
    )
    return Answer(data=held)


@router.post("/{name:path}/release", operation_id="releaseHold")
@needs(Access.OPERATOR)
def release(name: Name, here: Here, body: ReleaseBody | None = None) -> Answer[Hold]:
    """Let the experiment be promoted unattended again."""
    asked = body or ReleaseBody()
    here.claim(releasedBy=asked.released_by)
    released = acted_once(
        here,
        name,
        Action.RELEASE_HOLD,
        lambda: release_hold(name, here.actor, reason=asked.reason, store=here.store),
        lambda earlier: hold_acted_on(here, name, None, earlier),
    )
    return Answer(data=released)


def _metadata(here: Visit, given: dict[str, Any] | None) -> dict[str, Any]:
    """What is kept with the record; the door's own mark cannot be forged."""
    return {**(given or {}), **here.mark()}


def _config(given: dict[str, Any] | None) -> Any:
    return None if given is None else parse_config(given)


def _stands(here: Visit, promotion: Promotion) -> AnswerWithMessage[Stands]:
    traffic = traffic_now(promotion.experiment_name, store=here.store)
    return AnswerWithMessage(
        data=Stands(promotion=promotion, traffic=traffic),
        message=f"The promotion is {promotion.state.value.replace('_', ' ')}; traffic now: {split_text(traffic)}",
    )


def _first_step(promotion: Promotion) -> str:
    percent, *rest = promotion.ramp_percents
    return f": {percent:g} % of the traffic, the first of {len(rest) + 1} steps" if rest else ""


def _promoted(here: Visit, promotion: Promotion) -> AnswerWithMessage[Promoted]:
    eligibility, held = eligibility_when_promoted(promotion), in_spite_of_hold(promotion)
    traffic = traffic_now(promotion.experiment_name, store=here.store)
    return AnswerWithMessage(
        data=Promoted(promotion=promotion, eligibility=eligibility, traffic=traffic),
        message=f"Successfully promoted variant {promotion.promoted_variant_name} to production"
        + _first_step(promotion)
        + ("" if held is None else f"; {held}"),
    )
