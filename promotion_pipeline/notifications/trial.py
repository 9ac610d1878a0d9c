"""One test message a channel, without outbox and database."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels.port import AttemptKind, Channel, Envelope, Sender, Threads
from promotion_pipeline.notifications.channels.registry import CHANNELS
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.deliver import senders_of
from promotion_pipeline.notifications.events import SystemEvent
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.notifications.scrub import scrubbed


@dataclass(frozen=True)
class TrialResult:
    """Whether a channel took the test message."""

    channel: Channel
    works: bool
    message: str
    """What it answered."""


def send_test_messages(settings: Settings, channels: Sequence[Channel] | None = None) -> list[TrialResult]:
    """Send one message to each channel that is on (or to those named, if they are on).

    The pager's alert is of severity info and resolved at once.
    """
    results = []
    for sender in senders_of(settings, channels=CHANNELS if channels is None else channels):
        try:
            results.append(_try(sender, settings))
        finally:
            sender.close()
    return results


def _try(sender: Sender, settings: Settings) -> TrialResult:
    now = datetime.now(UTC)
    key = f"promotion-pipeline/test/{uuid4()}"
    notification = Notification(SystemEvent.TEST, "info", now, key, {})
    envelope = Envelope(dedup_key=key, message=compose(notification, settings), created_at=now, thread_key=key)
    attempt = sender.send(envelope)
    if attempt.kind is AttemptKind.DELIVERED and sender.channel.threads is Threads.INCIDENT:
        sender.send(dataclasses.replace(envelope, message=dataclasses.replace(envelope.message, resolves=True)))
    works = attempt.kind is AttemptKind.DELIVERED
    return TrialResult(sender.channel, works, scrubbed(attempt.error or "delivered", settings))
