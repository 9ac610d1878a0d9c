"""What the outbox and the audit call what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Event(StrEnum):
    """Kinds of notification that the lifecycle writes."""

    PROMOTION = "promotion"
    """A winner was promoted; info."""
    PROMOTION_WITH_WARNINGS = "promotion_with_warnings"
    """A winner was promoted although warnings stood beside the decision; warning."""
    WARNINGS_SETTLED = "warnings_settled"
    """What a promotion with warnings was warned of is settled: rolled back, or a person looked; ends its incident."""
    APPROVAL_REQUESTED = "approval_requested"
    """Eligible, and a person is asked; info."""
    APPROVAL_DECLINED = "approval_declined"
    """A person said no, automatic promotion is on hold; info."""
    RAMP_STEP = "ramp_step"
    """A ramp went one step on; info."""
    RAMP_BLOCKED = "ramp_blocked"
    """A ramp's next step is due and cannot be taken; warning."""
    WATCH_BREACH = "watch_breach"
    """After its promotion the winner got worse; critical."""
    BREACH_ACKNOWLEDGED = "breach_acknowledged"
    """A person looked at a breach and keeps the promotion; info."""
    WATCH_BLIND = "watch_blind"
    """For an hour the watch could see nothing of the winner; warning."""
    SPLIT_DRIFT = "split_drift"
    """Somebody else changed the split of a promotion; warning."""
    SPLIT_OVERWRITTEN = "split_overwritten"
    """The split of a promotion was put back after that; info."""
    ROLLBACK = "rollback"
    """A promotion was rolled back (critical), or closed with its traffic left as it stood (warning)."""
    HOLD_RELEASED = "hold_released"
    """The hold after a rollback was lifted: its incident is over; info."""


class Action(StrEnum):
    """What the audit says that somebody did."""

    PROMOTE = "promote"
    """A promotion was recorded and the traffic set."""
    SHADOW_PROMOTE = "shadow_promote"
    """Would have been promoted; no traffic changed."""
    REQUEST_APPROVAL = "request_approval"
    """A person was asked."""
    APPROVE = "approve"
    """A person said yes."""
    DECLINE = "decline"
    """A person said no."""
    EXPIRE_APPROVAL = "expire_approval"
    """Nobody answered in time."""
    RAMP = "ramp"
    """The next step of a ramp was taken."""
    WATCH_BREACH = "watch_breach"
    """The watch found the winner worse than it was."""
    ACKNOWLEDGE_BREACH = "acknowledge_breach"
    """A person looked at a breach and keeps the promotion."""
    OVERWRITE_SPLIT = "overwrite_split"
    """The split of a promotion was put back."""
    ADOPT_SPLIT = "adopt_split"
    """The split that somebody else made the target serve was taken over."""
    RETRY_DELIVERY = "retry_delivery"
    """The attempts at a delivery were begun anew."""
    ROLL_BACK = "roll_back"
    """A promotion was rolled back, or closed."""
    HOLD = "hold"
    """Automatic promotion was put on hold."""
    RELEASE_HOLD = "release_hold"
    """The hold was lifted."""
    ACKNOWLEDGE_WARNINGS = "acknowledge_warnings"
    """A person looked at the warnings of a promotion."""


@dataclass(frozen=True)
class AuditEntry:
    """A line of the audit: who did what to an experiment."""

    at: datetime
    actor: str
    action: str
    """One of `Action`."""
    experiment_name: str
    promotion_id: UUID | None
    details: Mapping[str, Any]
