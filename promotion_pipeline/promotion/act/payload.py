"""What the lifecycle's notifications say: one class for each kind of event that has something of its own to say.

Rows that earlier versions wrote are read by the same classes, so a field that was written once stays readable.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, StrictBool

from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.store.payload import Instant, Number, Payload, Rows, Shares, Text, Texts
from promotion_pipeline.text.numbers import UNKNOWN

THE_WINNER = "the winner"


class PromotionPayload(Payload):
    """A winner was promoted, perhaps with warnings, or went one step on."""

    winner: Text = UNKNOWN
    control: Text = UNKNOWN
    confidence: Number = None
    improvement: Number = None
    sample_size: Number = None
    shrunken_lift: Number = None
    """A fraction."""
    promotion_type: Text = UNKNOWN
    promoted_by: Text = UNKNOWN
    state: Text = UNKNOWN
    traffic_percent: Number = None
    holdback_hours: Number = None
    """Of a holdback that began with it: how long it lasts."""
    as_of: Instant = None
    warnings: Texts = ()
    distrust: Texts = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, promotion: Promotion, **more: str) -> Self:
        """The numbers that a message about a promotion needs."""
        distrust = promotion.snapshot.get("distrust")
        return cls(
            winner=promotion.promoted_variant_name,
            control=promotion.control_variant_name,
            confidence=promotion.confidence,
            improvement=promotion.improvement,
            sample_size=promotion.sample_size,
            shrunken_lift=promotion.snapshot["decision"].get("shrunken_lift"),
            promotion_type=promotion.promotion_type.value,
            promoted_by=promotion.promoted_by,
            state=promotion.state.value,
            traffic_percent=promotion.snapshot["ramp"][promotion.ramp_step]["percent"],
            holdback_hours=promotion.hold_hours if promotion.is_held_back else None,
            as_of=promotion.evaluated_as_of,
            warnings=tuple(promotion.warnings),
            distrust=(distrust,) if distrust else (),
            metadata=dict(promotion.metadata),
            **more,
        )


class RampStepPayload(PromotionPayload):
    """A ramp went one step on."""

    winner: Text = THE_WINNER
    by: Text = ""


class RampBlockedPayload(Payload):
    """A ramp's next step is due and cannot be taken."""

    winner: Text = THE_WINNER
    message: Texts = ()
    ramp_step: int | None = None
    traffic_percent: Number = None
    next_percent: Number = None
    can_be_taken: StrictBool = False
    """A person may take it all the same."""


class ApprovalRequestedPayload(Payload):
    """Eligible, and a person is asked."""

    approval_id: Text = UNKNOWN
    candidate: Text = UNKNOWN
    withheld: Texts = ()
    """Why it is not promoted unattended."""
    confidence: Number = None
    improvement: Number = None
    sample_size: Number = None
    shrunken_lift: Number = None
    warnings: Texts = ()
    distrust: Texts = ()
    as_of: Instant = None


class ApprovalDeclinedPayload(Payload):
    """A person said no."""

    approval_id: Text = UNKNOWN
    candidate: Text = UNKNOWN
    reason: Text = UNKNOWN
    declined_by: Text = UNKNOWN


class RollbackPayload(Payload):
    """A promotion was rolled back, or closed."""

    reason: Text = UNKNOWN
    to: Text = UNKNOWN
    split: Shares = Field(default_factory=dict)
    drift: Text = ""
    """What somebody else had changed of the split."""
    is_active: StrictBool = True
    """The experiment runs from now on."""
    winner: Text = UNKNOWN
    rolled_back_by: Text = UNKNOWN
    hold: Text = ""


class WatchBreachPayload(Payload):
    """The winner got worse after its promotion."""

    winner: Text = THE_WINNER
    control_name: Text = UNKNOWN
    metrics: Texts = ()
    message: Texts = ()
    checks: Rows = ()
    """Each reads as `BreachCheck`."""
    rollback: Text = ""
    """Whether it is rolled back by itself, and why not."""
    is_automatic: StrictBool = False
    to: Text = UNKNOWN
    command: Text = ""
    """Ends the harm."""
    metric: Texts = ()
    """Of a row that was written before an alarm had several metrics; such a row is one check itself."""


class BreachCheck(Payload):
    """One metric of a breach, now, then and of control."""

    metric: Text = "None"
    observed: Number = None
    baseline: Number = None
    control: Number = None


class BreachAcknowledgedPayload(Payload):
    """A person keeps the promotion in spite of a breach."""

    winner: Text = THE_WINNER
    reason: Text = UNKNOWN
    metrics: Texts = ()
    message: Texts = ()
    acknowledged_by: Text = UNKNOWN


class WatchBlindPayload(Payload):
    """For an hour nothing of the winner could be seen."""

    winner: Text = THE_WINNER
    message: Texts = ()
    since: Instant = None


class SplitDriftPayload(Payload):
    """Somebody else changed the split of a promotion."""

    winner: Text = THE_WINNER
    message: Texts = ()


class SplitOverwrittenPayload(Payload):
    """The split of a promotion was put back."""

    reason: Text = UNKNOWN
    split: Shares = Field(default_factory=dict)
    drift: Text = ""
    winner: Text = THE_WINNER
    overwritten_by: Text = UNKNOWN


class HoldReleasedPayload(Payload):
    """The hold after a rollback was lifted."""

    hold: Text = ""
    reason: Text = ""
    released_by: Text = UNKNOWN


class WarningsSettledPayload(Payload):
    """Nobody needs to look at the warnings of a promotion any more."""

    settled_by: Text = UNKNOWN
    reason: Text = UNKNOWN
