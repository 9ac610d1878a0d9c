"""What people are told of: the names of the outbox's events."""

from __future__ import annotations

from enum import StrEnum


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
    ROLLBACK = "rollback"
    """A promotion was rolled back; critical."""
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
    ROLL_BACK = "roll_back"
    """A promotion was rolled back."""
    HOLD = "hold"
    """Automatic promotion was put on hold."""
    RELEASE_HOLD = "release_hold"
    """The hold was lifted."""
    ACKNOWLEDGE_WARNINGS = "acknowledge_warnings"
    """A person looked at the warnings of a promotion."""
