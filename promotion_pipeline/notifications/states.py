"""Where a delivery stands."""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """Where one notification stands in one channel."""

    PENDING = "pending"
    """To be sent when its time has come."""
    SENDING = "sending"
    """A worker holds it; past its time, the worker died and the message may have arrived."""
    DELIVERED = "delivered"
    """The channel confirmed it; final."""
    UNCERTAIN = "uncertain"
    """It may have arrived and a repetition would show twice: looked up, or left to a person."""
    DEAD = "dead"
    """Given up; a person may replay it."""
