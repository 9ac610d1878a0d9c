"""The acts that the campaign cuts off, and what the next tick or the person who repeats them does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.approvals import approve_promotion, decline_promotion
from promotion_pipeline.promotion.act.holds import release_hold
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.faults import FaultPoint
from promotion_pipeline.promotion.record.models import Outcome, Promotion, SweepEntry
from promotion_pipeline.promotion.unattended.pending import CLAIM_SECONDS, apply_pending, pending_promotions
from promotion_pipeline.promotion.unattended.watch import WatchAction, watch_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults.subjects import Setting, Subject

PERSON = "anna"


@dataclass(frozen=True)
class Acknowledged:
    """A success that somebody was told of: it must be found in the database ever after."""

    action: Action
    experiment_id: UUID
    promotion_id: UUID | None = None


Answers = tuple[Acknowledged, ...]
Do = Callable[[Store, Subject], Answers]


@dataclass(frozen=True)
class Act:
    """One act and its repetition.

    `points` are the crash points that it passes, `effect` the acts that the audit holds when all is done.
    """

    name: str
    setting: Setting
    do: Do
    again: Do
    points: tuple[FaultPoint, ...]
    effect: Mapping[Action, int]
    is_one_subject: bool = True
    """It touches no other experiment, so that the number of its round trips does not change."""


OUTCOMES = {
    Outcome.PROMOTED: Action.PROMOTE,
    Outcome.AWAITING_APPROVAL: Action.REQUEST_APPROVAL,
    Outcome.RAMPED: Action.RAMP,
}


def acknowledged(entry: SweepEntry, subject: Subject) -> Answers:
    """What an outcome of the unattended path claims to have done."""
    action = OUTCOMES.get(entry.outcome)
    return () if action is None else (Acknowledged(action, subject.id, entry.promotion_id),)


def apply(store: Store, subject: Subject) -> Answers:
    """What the apply job does about one experiment."""
    return acknowledged(apply_pending(store, subject.id, "sensor"), subject)


def tick(store: Store, subject: Subject) -> Answers:
    """The next tick, after the claim of whoever died has run out."""
    with store.connect() as connection:
        connection.execute(
            "UPDATE promotion_attempts SET started_at = started_at - %s * interval '1 second'"
            " WHERE experiment_id = %s AND finished_at IS NULL",
            [CLAIM_SECONDS + 1, subject.id],
        )
    waiting = [act for act in pending_promotions(store) if act.experiment_id == subject.id]
    return tuple(answer for act in waiting for answer in apply(store, subject))


def promote(store: Store, subject: Subject) -> Answers:
    """A person promotes."""
    return _told(Action.PROMOTE, promote_winner(subject.name, "manual", PERSON, store=store))


def approve(store: Store, subject: Subject) -> Answers:
    """A person says yes."""
    promotion = approve_promotion(subject.name, PERSON, store=store)
    return (*_told(Action.PROMOTE, promotion), Acknowledged(Action.APPROVE, subject.id))


def decline(store: Store, subject: Subject) -> Answers:
    """A person says no."""
    decline_promotion(subject.name, PERSON, "not now", store=store)
    return (Acknowledged(Action.DECLINE, subject.id),)


def ramp(store: Store, subject: Subject) -> Answers:
    """A person takes the next step of a ramp."""
    return _told(Action.RAMP, advance_ramp(subject.name, PERSON, to_percent=80, store=store))


def roll_back(store: Store, subject: Subject) -> Answers:
    """A person restores the split of before."""
    return _told(Action.ROLL_BACK, rollback_promotion(subject.name, "errors", PERSON, store=store))


def roll_back_to_control(store: Store, subject: Subject) -> Answers:
    """A person sends everything to control."""
    return _told(Action.ROLL_BACK, rollback_promotion(subject.name, "errors", PERSON, to="control", store=store))


def close(store: Store, subject: Subject) -> Answers:
    """A person ends the promotion and leaves the traffic as it stands."""
    return _told(Action.ROLL_BACK, rollback_promotion(subject.name, "made anew", PERSON, to="close", store=store))


def release(store: Store, subject: Subject) -> Answers:
    """A person lifts the hold."""
    release_hold(subject.name, PERSON, store=store)
    return (Acknowledged(Action.RELEASE_HOLD, subject.id),)


def watch(store: Store, subject: Subject) -> Answers:
    """A look of the watch, which rolls back what fails."""
    watched = [result for result in watch_promotions(store) if result.experiment_name == subject.name]
    found = [result for result in watched if result.action is WatchAction.ROLLED_BACK]
    return tuple(Acknowledged(Action.ROLL_BACK, subject.id, r.promotion_id) for r in found)


def or_conflict(do: Do) -> Do:
    """A person who repeats an act: it is done, or a conflict says clearly that it is done already."""

    def repeated(store: Store, subject: Subject) -> Answers:
        try:
            return do(store, subject)
        except ConflictError as error:
            assert str(error), "a conflict says what is in the way"
            return ()

    return repeated


def _told(action: Action, promotion: Promotion) -> Answers:
    return (Acknowledged(action, promotion.experiment_id, promotion.id),)


P = FaultPoint
WITHIN = (P.LOCKED, P.RECORD_WRITTEN, P.TRAFFIC_SET, P.BEFORE_COMMIT)
APPLYING = (P.ATTEMPT_BEGUN, *WITHIN, P.ATTEMPT_UNFINISHED)
BY_HAND = (*WITHIN, P.AFTER_COMMIT)
PROMOTED = {Action.PROMOTE: 1}
ASKED = {Action.REQUEST_APPROVAL: 1}
BACK = {Action.PROMOTE: 1, Action.ROLL_BACK: 1}
ACTS = (
    # First: it looks at every promotion that the other acts leave.
    Act("watch", Setting.BREACHED, watch, watch, WITHIN, {**BACK, Action.WATCH_BREACH: 1}, is_one_subject=False),
    Act("apply a decision", Setting.DECIDED, apply, tick, APPLYING, PROMOTED),
    Act("apply: ask", Setting.UNPROVEN, apply, tick, (P.ATTEMPT_BEGUN, P.LOCKED, P.ATTEMPT_UNFINISHED), ASKED),
    Act("apply a ramp step", Setting.RAMPING, apply, tick, APPLYING, {**PROMOTED, Action.RAMP: 1}),
    Act("promote", Setting.DECIDED, promote, or_conflict(promote), BY_HAND, PROMOTED),
    Act(
        "approve",
        Setting.ASKED,
        approve,
        or_conflict(approve),
        BY_HAND,
        {**ASKED, Action.APPROVE: 1, **PROMOTED},
    ),
    Act("decline", Setting.ASKED, decline, or_conflict(decline), (), {**ASKED, Action.DECLINE: 1}),
    Act("ramp by hand", Setting.RAMPING, ramp, or_conflict(ramp), BY_HAND, {**PROMOTED, Action.RAMP: 1}),
    Act("roll back", Setting.PROMOTED, roll_back, or_conflict(roll_back), BY_HAND, BACK),
    Act("roll back a ramp", Setting.RAMPING, roll_back, or_conflict(roll_back), BY_HAND, BACK),
    Act("to control", Setting.PROMOTED, roll_back_to_control, or_conflict(roll_back_to_control), BY_HAND, BACK),
    Act("close", Setting.PROMOTED, close, or_conflict(close), BY_HAND, BACK),
    Act("lift a hold", Setting.ROLLED_BACK, release, or_conflict(release), (), {**BACK, Action.RELEASE_HOLD: 1}),
)
BY_NAME = {act.name: act for act in ACTS}
