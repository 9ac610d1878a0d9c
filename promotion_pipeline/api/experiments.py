"""The routes of one experiment: check, promote, roll back, history, approvals, holds."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from pydantic.alias_generators import to_camel

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import (
    AcknowledgeBody,
    AdoptSplitBody,
    AdvanceBody,
    Answer,
    AnswerWithMessage,
    ApproveBody,
    AsOf,
    Body,
    DeclineBody,
    History,
    HoldBody,
    OverwriteSplitBody,
    PromoteBody,
    Promoted,
    ReleaseBody,
    RetryDeliveryBody,
    RollbackBody,
    Settled,
    Stands,
    thresholds_in_query,
)
from promotion_pipeline.api.guard import GuardedRequest, GuardedRoute, context_of
from promotion_pipeline.api.recall import acted_once
from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.promotion.act import offered
from promotion_pipeline.promotion.act.approvals import approval_history
from promotion_pipeline.promotion.act.offered import Asked, OfferedAct
from promotion_pipeline.promotion.history.happened import events_of
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.history.standing import in_spite_of_hold, traffic_now, traffic_of
from promotion_pipeline.promotion.judge.eligibility import eligibility_when_promoted
from promotion_pipeline.promotion.record.models import Approval, Hold, Promotion, PromotionEligibility
from promotion_pipeline.promotion.watch.alarms import alarms_of
from promotion_pipeline.text.numbers import share_text, split_text

_Answer = TypeVar("_Answer")
PREFIX = "/api/monitoring/experiments"

Context = Annotated[GuardedRequest, Depends(context_of)]
Name = Annotated[str, Path(description="Name of the experiment, URL-encoded; a slash as %2F.", min_length=1)]

# `:path`, because a name may hold slashes: the server decodes %2F before it looks for the route.
router = APIRouter(prefix=PREFIX, route_class=GuardedRoute, tags=["experiments"])


@router.get("/{name:path}/promote", operation_id="checkEligibility")
@needs(Access.VIEWER)
@thresholds_in_query
def check(
    name: Name, context: Context, config: PromotionConfig | None = None, as_of: AsOf = None
) -> Answer[PromotionEligibility]:
    """Whether the experiment has a winner, and why; changes nothing."""
    return Answer(data=context.door.checks.check(name, config, as_of))


@router.post("/{name:path}/promote", operation_id="promoteWinner")
@needs(Access.OPERATOR)
def promote(name: Name, context: Context, body: PromoteBody | None = None) -> AnswerWithMessage[Promoted]:
    """Move the traffic to the winner, stop the experiment and record why."""
    return _promoted(context, _done(context, name, offered.PROMOTE, body or PromoteBody()))


@router.delete("/{name:path}/promote", operation_id="rollBackPromotion")
@needs(Access.OPERATOR)
def roll_back(name: Name, context: Context, body: RollbackBody) -> Answer[Stands]:
    """Undo the live promotion and hold automatic promotion; the same as POST .../rollback."""
    return Answer(data=_stands(context, _done(context, name, offered.ROLL_BACK, body)).data)


@router.post("/{name:path}/rollback", operation_id="rollBackPromotionByPost")
@needs(Access.OPERATOR)
def roll_back_by_post(name: Name, context: Context, body: RollbackBody) -> Answer[Stands]:
    """Undo the live promotion: for clients and proxies that drop the body of a DELETE."""
    return roll_back(name, context, body)


@router.get("/{name:path}/history", operation_id="getHistory")
@needs(Access.VIEWER)
def history(
    name: Name,
    context: Context,
    shadow: Annotated[bool, Query(description="What would have been promoted in shadow mode instead.")] = False,
) -> Answer[History]:
    """Every promotion of the experiment with its snapshot, and everything else that happened to it, newest first."""
    found = get_promotion_history(name, shadow=shadow, store=context.store)
    latest = found[0] if found else None
    alarms = alarms_of(name, store=context.store)
    return Answer(
        data=History(
            experiment_name=name,
            history=tuple(found),
            count=len(found),
            latest_promotion=latest,
            alarms=alarms,
            events=events_of(name, store=context.store),
        )
    )


@router.get("/{name:path}/approvals", operation_id="getApprovals")
@needs(Access.VIEWER)
def approvals(name: Name, context: Context) -> Answer[list[Approval]]:
    """Every request for approval of the experiment, newest first."""
    return Answer(data=approval_history(name, store=context.store))


@router.post("/{name:path}/approve", operation_id="approvePromotion")
@needs(Access.OPERATOR)
def approve(name: Name, context: Context, body: ApproveBody | None = None) -> AnswerWithMessage[Promoted]:
    """Say yes to the open request, and promote in the same transaction."""
    return _promoted(context, _done(context, name, offered.APPROVE, body or ApproveBody()))


@router.post("/{name:path}/advance", operation_id="advanceRamp")
@needs(Access.OPERATOR)
def advance(name: Name, context: Context, body: AdvanceBody | None = None) -> AnswerWithMessage[Stands]:
    """Take the next step of the ramp now, whatever the watch says."""
    return _stands(context, _done(context, name, offered.ADVANCE, body or AdvanceBody()))


@router.post("/{name:path}/acknowledge", operation_id="acknowledgeBreach")
@needs(Access.OPERATOR)
def acknowledge(name: Name, context: Context, body: AcknowledgeBody) -> AnswerWithMessage[Stands]:
    """Keep the promotion although the watch found its winner worse."""
    return _stands(context, _done(context, name, offered.ACKNOWLEDGE, body))


@router.post("/{name:path}/traffic/overwrite", operation_id="overwriteSplit")
@needs(Access.OPERATOR)
def overwrite(name: Name, context: Context, body: OverwriteSplitBody) -> AnswerWithMessage[Settled]:
    """Put our split back after somebody else changed it: in what serves it, or in our own table after a promotion."""
    _done(context, name, offered.OVERWRITE_SPLIT, body)
    return _settled(context, name)


@router.post("/{name:path}/traffic/adopt", operation_id="adoptSplit")
@needs(Access.OPERATOR)
def adopt(name: Name, context: Context, body: AdoptSplitBody | None = None) -> AnswerWithMessage[Settled]:
    """Take the split that somebody else made the target serve as the decided one; a new phase begins."""
    _done(context, name, offered.ADOPT_SPLIT, body or AdoptSplitBody())
    return _settled(context, name)


@router.post("/{name:path}/traffic/retry", operation_id="retryDelivery")
@needs(Access.OPERATOR)
def retry(name: Name, context: Context, body: RetryDeliveryBody | None = None) -> AnswerWithMessage[Settled]:
    """Begin the attempts at the newest delivery anew, whatever stopped them."""
    _done(context, name, offered.RETRY_DELIVERY, body or RetryDeliveryBody())
    return _settled(context, name)


@router.post("/{name:path}/decline", operation_id="declinePromotion")
@needs(Access.OPERATOR)
def decline(name: Name, context: Context, body: DeclineBody) -> Answer[dict[str, Approval]]:
    """Say no to the open request; automatic promotion is on hold from then on."""
    return Answer(data={"approval": _done(context, name, offered.DECLINE, body)})


@router.post("/{name:path}/hold", operation_id="holdPromotion")
@needs(Access.OPERATOR)
def hold(name: Name, context: Context, body: HoldBody) -> Answer[Hold]:
    """Keep the experiment from being promoted unattended; it also pauses a ramp."""
    return Answer(data=_done(context, name, offered.HOLD, body))


@router.post("/{name:path}/release", operation_id="releaseHold")
@needs(Access.OPERATOR)
def release(name: Name, context: Context, body: ReleaseBody | None = None) -> Answer[Hold]:
    """Let the experiment be promoted unattended again."""
    return Answer(data=_done(context, name, offered.RELEASE, body or ReleaseBody()))


def _done(context: GuardedRequest, name: str, act: OfferedAct[_Answer], body: Body) -> _Answer:
    """Do what a body asks for: its members are called as the act's are, and its `...By` says who is acting."""
    given = dict(body)
    by = {member: given.pop(member) for member in list(given) if member.endswith("_by") or member == "user_id"}
    context.claim(**{to_camel(member): said for member, said in by.items()})
    if "metadata" in given:
        # The door's own mark comes last, so that nobody can forge it.
        given["metadata"] = {**(given["metadata"] or {}), **context.mark()}
    if given.get("config") is not None:
        given["config"] = parse_config(given["config"])
    return acted_once(context, act, Asked(experiment_name=name, by=context.actor, **given))


def _stands(context: GuardedRequest, promotion: Promotion) -> AnswerWithMessage[Stands]:
    traffic = traffic_now(promotion.experiment_name, store=context.store)
    return AnswerWithMessage(
        data=Stands(promotion=promotion, traffic=traffic),
        message=f"The promotion is {promotion.state.value.replace('_', ' ')}; decided split: {split_text(traffic)}",
    )


def _settled(context: GuardedRequest, name: str) -> AnswerWithMessage[Settled]:
    served = traffic_of(name, store=context.store)
    live = next((one for one in get_promotion_history(name, store=context.store) if one.is_live), None)
    state = served.state or "not delivered"
    return AnswerWithMessage(
        data=Settled(promotion=live, traffic=traffic_now(name, store=context.store), served=served),
        message=f"The traffic of {name} is {state}" + (f": {served.problem}" if served.problem else ""),
    )


def _first_step(promotion: Promotion) -> str:
    percent, *rest = promotion.ramp_percents
    if promotion.is_held_back:
        days = f"{promotion.hold_hours / 24:g} days"
        return f": {share_text(percent)} of the traffic, control keeps {share_text(100.0 - percent)} for {days}"
    return f": {share_text(percent)} of the traffic, the first of {len(rest) + 1} steps" if rest else ""


def _promoted(context: GuardedRequest, promotion: Promotion) -> AnswerWithMessage[Promoted]:
    eligibility, held = eligibility_when_promoted(promotion), in_spite_of_hold(promotion)
    traffic = traffic_now(promotion.experiment_name, store=context.store)
    return AnswerWithMessage(
        data=Promoted(promotion=promotion, eligibility=eligibility, traffic=traffic),
        message=f"Successfully promoted variant {promotion.promoted_variant_name} to production"
        + _first_step(promotion)
        + ("" if held is None else f"; {held}"),
    )
