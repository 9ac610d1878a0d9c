"""What a channel is to the delivery: it takes an envelope and says what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from promotion_pipeline.notifications.message import Message

ANSWER_SECONDS = 10.0
"""Time that a channel has to accept a connection, and to answer each step on it."""


class Channel(StrEnum):
    """Where people are told."""

    SLACK = "slack"
    """A message in a Slack channel: the experiment's own, else the default one."""
    PAGERDUTY = "pagerduty"
    """An alert for whoever is on call."""
    EMAIL = "email"
    """An e-mail to everybody in AUTO_PROMOTION_EMAIL_TO."""


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


class OutcomeKind(StrEnum):
    """What became of one attempt."""

    DELIVERED = "delivered"
    """The channel confirmed it."""
    RETRY = "retry"
    """It surely did not arrive, and may the next time."""
    UNCERTAIN = "uncertain"
    """It may have arrived: the connection ended after the message was on its way."""
    REJECTED_FORM = "rejected_form"
    """The channel does not take a message of this form."""
    REJECTED_TARGET = "rejected_target"
    """The channel knows no such place, or may not write there."""


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt; `error` says what went wrong, without any secret."""

    kind: OutcomeKind
    error: str | None = None
    retry_after_seconds: float | None = None
    """The channel's own word on when to come back; it holds for every message of the channel."""
    receipt: dict[str, Any] | None = None
    """What to keep of the answer: ids to find the message by."""
    hung: bool = False
    """The channel let a time-out pass: every further message would cost as much."""


class Found(StrEnum):
    """Whether a message that may have arrived is there."""

    YES = "yes"
    """It arrived."""
    NO = "no"
    """It did not: it may be sent again."""
    LATER = "later"
    """The channel could not be asked just now."""
    UNKNOWN = "unknown"
    """The channel cannot be asked: a person has to look."""


@dataclass(frozen=True)
class Envelope:
    """One message on its way to one channel."""

    dedup_key: str
    """The same at every attempt, unique among notifications."""
    message: Message
    created_at: datetime
    """When the notification was written, UTC."""
    target: str | None = None
    """Where in the channel; None: the channel's default."""
    thread_key: str | None = None
    """What the message is about, for channels that group."""
    is_plain: bool = False
    """Send text only."""
    first_attempt_at: datetime | None = None
    receipt: dict[str, Any] = field(default_factory=dict)
    """What earlier attempts left."""
    known_places: dict[str, str] = field(default_factory=dict)
    """Target -> the channel's id of it, as learned from earlier deliveries."""


class Sender(Protocol):
    """A configured channel. One worker uses it at a time."""

    channel: Channel
    repeats_safely: bool
    """A message that arrived twice is seen once."""

    def send(self, envelope: Envelope) -> Outcome:
        """Try once, within the time-outs; never raises for what the channel does."""
        ...

    def find(self, envelope: Envelope) -> Found:
        """Ask whether a message that may have arrived is there."""
        ...

    def probe(self) -> str:
        """Check connection and credentials without telling anybody; returns who answered.

        Raises:
            DependencyError: it does not work; the message says why and what to check.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
