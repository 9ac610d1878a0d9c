"""What a channel is to the rest: its capabilities, and a sender that says what became of an envelope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.events import ON_REQUEST, AnyEvent
from promotion_pipeline.notifications.message import Message
from promotion_pipeline.store.outbox import Level

ANSWER_SECONDS = 10.0
"""Time that a channel has to accept a connection, and to answer each step on it."""


LEVELS: tuple[Level, ...] = ("info", "warning", "critical")
"""From the least to the most urgent."""


class Threads(StrEnum):
    """How the messages of a channel hang together."""

    NONE = "none"
    """Each stands alone."""
    STORY = "story"
    """What happened to one experiment is told in its order; a message waits a few attempts for those before it."""
    INCIDENT = "incident"
    """Messages open and close incidents: an end waits for its begin, and goes only where the begin went."""


@dataclass(frozen=True)
class Channel:
    """Where people are told: what it can do, who is told there, and how it is switched on."""

    name: str
    """In the database and in commands."""
    title: str
    """For people."""
    least_level: Level
    """It gets events of this level and worse."""
    is_on: Callable[[Settings], bool]
    """Whether the settings switch it on."""
    open: Callable[[Settings, float], Sender]
    """A sender with so many seconds of patience; called only where it is on."""
    switch: str
    """The settings that switch it on."""
    more_events: frozenset[AnyEvent] = frozenset()
    """It gets these whatever their level."""
    fewer_events: frozenset[AnyEvent] = frozenset()
    """It never gets these."""
    threads: Threads = Threads.NONE
    repeats_safely: bool = True
    """A message that arrived twice is seen once."""
    wakes_people: bool = False
    """It stands in for another channel that is off only for what is worse than info."""
    default_target: Callable[[Settings], str] | None = None
    """Where in the channel messages go unless the experiment names its own place; None: it has no places."""
    fix: str | None = None
    """What to do when it does not work; None: its test message tells."""
    mistake: Callable[[Settings], tuple[str, str] | None] = lambda _: None
    """What is wrong with its settings, and what to do; asked by the doctor before it connects."""

    def __str__(self) -> str:
        return self.name

    def takes(self, event: str, level: Level) -> bool:
        """Whether people are told of such an event here."""
        if event in self.more_events:
            return True
        if event in self.fewer_events or event in ON_REQUEST:
            return False
        return LEVELS.index(level) >= LEVELS.index(self.least_level)


class AttemptKind(StrEnum):
    """What became of one attempt to send."""

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
class Attempt:
    """One attempt to send; `error` says what went wrong, without any secret."""

    kind: AttemptKind
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

    @property
    def channel(self) -> Channel:
        """What it sends to."""
        ...

    def send(self, envelope: Envelope) -> Attempt:
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
