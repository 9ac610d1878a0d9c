"""States of promotions and approvals, and which may follow which.

The tables below are mirrored by triggers of the database (migration `lifecycle`); a test compares the two
over every pair.
"""

from __future__ import annotations

from enum import StrEnum


class PromotionState(StrEnum):
    """Where a promotion stands."""

    RAMPING = "ramping"
    """The winner has the traffic of the current step of its ramp or holdback; more steps follow."""
    PROMOTED = "promoted"
    """The winner has all traffic."""
    ROLLED_BACK = "rolled_back"
    """The split of before was restored, or all traffic went to control; final."""
    SHADOW = "shadow"
    """What would have been promoted in shadow mode; no traffic changed; final."""
    ENDED = "ended"
    """Recorded before this product was set up, and the traffic has been set otherwise since; final."""


class PromotionType(StrEnum):
    """Who decided."""

    AUTO = "auto"
    """The system, unattended: the contract and the evidence held."""
    MANUAL = "manual"
    """A person: the contract held."""


class ApprovalState(StrEnum):
    """Where a request for approval stands."""

    AWAITING_APPROVAL = "awaiting_approval"
    """Nobody answered yet."""
    APPROVED = "approved"
    """A person said yes; applied once its `promotion_id` is set."""
    DECLINED = "declined"
    """A person said no; automatic promotion is on hold since."""
    EXPIRED = "expired"
    """Not answered, or approved and not applicable, until its expiry."""
    SUPERSEDED = "superseded"
    """Another promotion or a request for another candidate took its place."""


LIVE_STATES = frozenset({PromotionState.RAMPING, PromotionState.PROMOTED})
"""States in which the promotion governs the traffic; one such promotion an experiment."""

PROMOTION_STARTS = frozenset({PromotionState.RAMPING, PromotionState.PROMOTED, PromotionState.SHADOW})
"""States that a new record may have."""

PROMOTION_TRANSITIONS: dict[PromotionState, frozenset[PromotionState]] = {
    PromotionState.RAMPING: frozenset({PromotionState.RAMPING, PromotionState.PROMOTED, PromotionState.ROLLED_BACK}),
    PromotionState.PROMOTED: frozenset({PromotionState.ROLLED_BACK}),
    PromotionState.ROLLED_BACK: frozenset(),
    PromotionState.SHADOW: frozenset(),
    PromotionState.ENDED: frozenset(),
}
"""State -> states that an update of the record may give it; ramping to ramping is the next step."""

APPROVAL_TRANSITIONS: dict[ApprovalState, frozenset[ApprovalState]] = {
    ApprovalState.AWAITING_APPROVAL: frozenset(
        {ApprovalState.APPROVED, ApprovalState.DECLINED, ApprovalState.EXPIRED, ApprovalState.SUPERSEDED}
    ),
    ApprovalState.APPROVED: frozenset({ApprovalState.APPROVED, ApprovalState.EXPIRED, ApprovalState.SUPERSEDED}),
    ApprovalState.DECLINED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.SUPERSEDED: frozenset(),
}
"""State -> states that an update may give it; approved changes only until a promotion is linked to it."""
