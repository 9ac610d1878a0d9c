"""The acts that doors offer, one entry each: what a door may be told, what does it, how it is told of again.

HTTP, the page and the Launchpad each turn what they were given into an `Asked` and hand it to an entry of this list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from promotion_pipeline.promotion.act.approvals import approve_promotion, decline_promotion
from promotion_pipeline.promotion.act.holds import hold_promotion, release_hold
from promotion_pipeline.promotion.act.keeping import acknowledge_breach, overwrite_split
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.act.reconciling import (
    adopt_traffic,
    is_in_conflict,
    overwrite_traffic,
    retry_traffic,
)
from promotion_pipeline.promotion.act.rollback import RollbackTarget, rollback_promotion
from promotion_pipeline.promotion.act.serving import served_or_said
from promotion_pipeline.promotion.judge.distrust import Despite
from promotion_pipeline.promotion.record.events import Action, AuditEntry
from promotion_pipeline.promotion.record.inputs import ConfigLike
from promotion_pipeline.promotion.record.models import Approval, Hold, Promotion
from promotion_pipeline.promotion.record.queries import approvals_where, promotion_of
from promotion_pipeline.promotion.record.states import PromotionType
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic.deliveries import TrafficDelivery, delivery_of

_Answer = TypeVar("_Answer")
Settled: TypeAlias = Promotion | TrafficDelivery
"""What an act about traffic leaves behind."""
_Done = TypeVar("_Done", bound=Settled)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody asks to be done to one experiment; each act reads what it needs."""

    experiment_name: str
    by: str
    reason: str | None = None
    """Kept by `PROMOTE` in the metadata, which has no other place for it."""
    metadata: Mapping[str, Any] | None = None
    config: ConfigLike = None
    promotion_type: PromotionType | str = PromotionType.MANUAL
    despite: Sequence[Despite | str] | None = None
    to: RollbackTarget | str = RollbackTarget.PREVIOUS
    confirm_drift: bool = False
    to_percent: float | None = None

    @property
    def why(self) -> str:
        """The reason, for acts that need one: they refuse an empty one."""
        return self.reason or ""


@dataclass(frozen=True)
class OfferedAct(Generic[_Answer]):
    """One act."""

    action: Action
    """What the audit calls it."""
    perform: Callable[[Asked, Store | None], _Answer]
    """Does it, in one transaction; raises what the function of that name raises."""
    recall: Callable[[Connection, AuditEntry], _Answer]
    """The answer again, from the audit's line about it."""


def _promotion(connection: Connection, line: AuditEntry) -> Promotion:
    """The promotion that the act made, changed or ended, as it is recorded now."""
    assert line.promotion_id is not None
    found = promotion_of(connection, line.promotion_id)
    assert found is not None
    return found


def _approval(connection: Connection, line: AuditEntry) -> Approval:
    """The request that the act answered."""
    return approvals_where(connection, "a.id = %s", [line.details["approval_id"]])[0]


def _hold(_: Connection, line: AuditEntry) -> Hold:
    """The hold as the act left it."""
    hold = line.details["hold"] if line.action == Action.HOLD else None
    return Hold(experiment_name=line.experiment_name, hold=hold, changed_by=line.actor, changed_at=line.at)


def _promote(asked: Asked, store: Store | None) -> Promotion:
    reason = {} if asked.reason is None else {"reason": asked.reason}
    return promote_winner(
        asked.experiment_name,
        asked.promotion_type,
        asked.by,
        asked.config,
        metadata={**(asked.metadata or {}), **reason},
        despite=asked.despite,
        store=store,
    )


def _approve(asked: Asked, store: Store | None) -> Promotion:
    return approve_promotion(
        asked.experiment_name,
        asked.by,
        asked.config,
        reason=asked.reason,
        metadata=asked.metadata,
        despite=asked.despite or (),
        store=store,
    )


def _roll_back(asked: Asked, store: Store | None) -> Promotion:
    name, to, confirm = asked.experiment_name, asked.to, asked.confirm_drift
    return rollback_promotion(name, asked.why, asked.by, to=to, confirm_drift=confirm, store=store)


def _advance(asked: Asked, store: Store | None) -> Promotion:
    name, percent = asked.experiment_name, asked.to_percent
    return advance_ramp(name, asked.by, reason=asked.reason, to_percent=percent, store=store)


def _overwrite(asked: Asked, store: Store | None) -> Settled:
    """The edit of the target; else, or before that, the one of our own table."""
    if is_in_conflict(asked.experiment_name, store=store):
        return overwrite_traffic(asked.experiment_name, asked.why, asked.by, store=store)
    return overwrite_split(asked.experiment_name, asked.why, asked.by, store=store)


def _adopt(asked: Asked, store: Store | None) -> TrafficDelivery:
    return adopt_traffic(asked.experiment_name, asked.by, reason=asked.reason, store=store)


def _retry(asked: Asked, store: Store | None) -> TrafficDelivery:
    return retry_traffic(asked.experiment_name, asked.by, reason=asked.reason, store=store)


def _delivery(connection: Connection, line: AuditEntry) -> TrafficDelivery:
    """The delivery that the act wrote or began anew."""
    found = delivery_of(connection, line.details["delivery"])
    assert found is not None
    return found


def _settled(connection: Connection, line: AuditEntry) -> Settled:
    """What was put back: the target's split by a delivery, or our own table's of a promotion."""
    return _delivery(connection, line) if "delivery" in line.details else _promotion(connection, line)


def _served(act: Callable[[Asked, Store | None], _Done]) -> Callable[[Asked, Store | None], _Done]:
    """An act that then waits, for a while, until what it decided is served."""

    def perform(asked: Asked, store: Store | None) -> _Done:
        done = act(asked, store)
        served_or_said(done, store)
        return done

    return perform


PROMOTE = OfferedAct(Action.PROMOTE, _served(_promote), _promotion)
APPROVE = OfferedAct(Action.PROMOTE, _served(_approve), _promotion)
ROLL_BACK = OfferedAct(Action.ROLL_BACK, _served(_roll_back), _promotion)
ADVANCE = OfferedAct(Action.RAMP, _served(_advance), _promotion)
ACKNOWLEDGE = OfferedAct(
    Action.ACKNOWLEDGE_BREACH,
    lambda asked, store: acknowledge_breach(asked.experiment_name, asked.why, asked.by, store=store),
    _promotion,
)
OVERWRITE_SPLIT = OfferedAct(Action.OVERWRITE_SPLIT, _served(_overwrite), _settled)
ADOPT_SPLIT = OfferedAct(Action.ADOPT_SPLIT, _adopt, _delivery)
RETRY_DELIVERY = OfferedAct(Action.RETRY_DELIVERY, _served(_retry), _delivery)
DECLINE = OfferedAct(
    Action.DECLINE,
    lambda asked, store: decline_promotion(asked.experiment_name, asked.by, asked.why, store=store),
    _approval,
)
HOLD = OfferedAct(
    Action.HOLD,
    lambda asked, store: hold_promotion(asked.experiment_name, asked.why, asked.by, store=store),
    _hold,
)
RELEASE = OfferedAct(
    Action.RELEASE_HOLD,
    lambda asked, store: release_hold(asked.experiment_name, asked.by, reason=asked.reason, store=store),
    _hold,
)
