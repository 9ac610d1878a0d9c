"""Delivery: a worker a channel, so that one that hangs delays no other."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import psycopg

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications import queue
from promotion_pipeline.notifications.channels.port import (
    ANSWER_SECONDS,
    Attempt,
    AttemptKind,
    Channel,
    Envelope,
    Found,
    Sender,
)
from promotion_pipeline.notifications.channels.registry import CHANNELS, configured_channels
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.fan_out import fan_out
from promotion_pipeline.notifications.message import shortened
from promotion_pipeline.notifications.policy import DeliveryPolicy
from promotion_pipeline.notifications.queue import ClaimedDelivery, Settlement
from promotion_pipeline.notifications.retention import remove_old
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.notifications.states import DeliveryState
from promotion_pipeline.notifications.system import enqueue_summary, summary_due
from promotion_pipeline.store.database import Connection, Store

LONGEST_ERROR = 500
GRACE_SECONDS = 30.0
"""How long a pass waits beyond its budget for the message that a worker has in hand."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChannelReport:
    """What one pass did in one channel."""

    delivered: int = 0
    retried: int = 0
    """Failed and to be tried again."""
    uncertain: int = 0
    """May have arrived."""
    dead: int = 0
    """Given up."""
    error: str | None = None
    """The newest failure; of the channel or of the worker."""


@dataclass(frozen=True)
class DeliveryReport:
    """What one pass did."""

    channels: Mapping[str, ChannelReport] = field(default_factory=dict)
    """By the name of the channel; those that are on."""
    removed: int = 0
    """Old notifications that were removed."""

    @property
    def delivered(self) -> int:
        """Messages confirmed in this pass."""
        return sum(report.delivered for report in self.channels.values())

    @property
    def dead(self) -> int:
        """Messages given up in this pass."""
        return sum(report.dead for report in self.channels.values())


def deliver_due(
    store: Store,
    settings: Settings | None = None,
    *,
    policy: DeliveryPolicy | None = None,
    senders: Sequence[Sender] | None = None,
) -> DeliveryReport:
    """Send every delivery that is due, each channel in a thread of its own, until none is or the budget is used up.

    Safe to run several times at once: a delivery is claimed by one worker, before it is sent.

    Args:
        store: where the deliveries are.
        settings: which channels are on; default those of the store.
        policy: waits and limits.
        senders: the channels; default those that the settings switch on.

    Raises:
        DependencyError: the database cannot be reached.
    """
    settings, policy = settings or store.settings, policy or DeliveryPolicy()
    if senders is None:
        senders = senders_of(settings, policy.answer_seconds)
    workers = [_Worker(store, settings, policy, sender) for sender in senders]
    # Said here, where the caller hears it: the workers only report.
    store.connect().close()
    threads = [threading.Thread(target=w.run, name=f"deliver-{w.channel}", daemon=True) for w in workers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + policy.budget_seconds + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return DeliveryReport({worker.channel.name: worker.report for worker in workers})


def is_work_waiting(store: Store, settings: Settings | None = None) -> bool:
    """Whether a pass would find something: a summary to write, a row to route, a delivery that is due.

    Raises:
        DependencyError: the database cannot be reached.
    """
    settings = settings or store.settings
    with store.connect() as connection:
        if queue.count_due(connection, configured_channels(settings)):
            return True
        return summary_due(connection, settings) is not None


def deliver_everything(
    store: Store, settings: Settings | None = None, *, policy: DeliveryPolicy | None = None
) -> DeliveryReport:
    """One pass from beginning to end: write the summary that is due, route, deliver, remove what is old.

    Raises:
        DependencyError: the database cannot be reached.
    """
    enqueue_summary(store, settings)
    fan_out(store, settings)
    report = deliver_due(store, settings, policy=policy)
    return replace(report, removed=remove_old(store, settings))


def senders_of(
    settings: Settings, answer_seconds: float = ANSWER_SECONDS, channels: Collection[Channel] = CHANNELS
) -> list[Sender]:
    """Of these channels the ones that the settings switch on."""
    return [channel.open(settings, answer_seconds) for channel in configured_channels(settings) if channel in channels]


class _Worker:
    """Delivers one channel's messages one after another."""

    def __init__(self, store: Store, settings: Settings, policy: DeliveryPolicy, sender: Sender) -> None:
        self._store, self._settings, self._policy, self._sender = store, settings, policy, sender
        self._counts: Counter[DeliveryState] = Counter()
        self._error: str | None = None
        self._failures = 0
        self.channel = sender.channel

    @property
    def report(self) -> ChannelReport:
        """What was done so far."""
        return ChannelReport(
            delivered=self._counts[DeliveryState.DELIVERED],
            retried=self._counts[DeliveryState.PENDING],
            uncertain=self._counts[DeliveryState.UNCERTAIN],
            dead=self._counts[DeliveryState.DEAD],
            error=self._error,
        )

    def run(self) -> None:
        """Deliver until nothing is due."""
        deadline = time.monotonic() + self._policy.budget_seconds
        try:
            with self._store.connect() as connection:
                self._failures = queue.failures_of(connection, self.channel)
                while time.monotonic() < deadline:
                    claim = queue.claim_next(connection, self.channel, self._policy.claim_seconds)
                    if claim is None:
                        break
                    self._handle(connection, claim)
                if self._counts[DeliveryState.DELIVERED]:
                    self._remember_success(connection)
        except (psycopg.Error, DependencyError) as error:
            # What was sent and not settled is found again when its claim lapses.
            self._error = f"the database went away: {self._clean(error)}"
            log.warning("%s: %s", self.channel, self._error)
        except Exception as error:
            self._error = f"the worker failed: {type(error).__name__}"
            log.exception("%s: the worker failed", self.channel)
        finally:
            self._sender.close()

    def _handle(self, connection: Connection, claim: ClaimedDelivery) -> None:
        try:
            envelope = self._envelope(connection, claim)
        except (LookupError, TypeError, ValueError) as error:
            log.exception("notification %s cannot be put into words", claim.outbox_id)
            said = f"its payload cannot be put into words: {type(error).__name__}"
            self._settle(connection, claim, Settlement(DeliveryState.DEAD, error=said))
            return
        if claim.was is not DeliveryState.PENDING and not self.channel.repeats_safely:
            settlement = self._after_looking(envelope, claim)
            if settlement is not None:
                self._settle(connection, claim, settlement)
                return
        attempt = self._attempt(envelope)
        settlement = self._settlement(claim, attempt)
        self._settle(connection, claim, settlement)
        if not settlement.refunds_attempt:
            self._watch_channel(connection, attempt)

    def _envelope(self, connection: Connection, claim: ClaimedDelivery) -> Envelope:
        row, notification = claim.row, claim.notification
        known: dict[str, str] = {}
        if claim.was is not DeliveryState.PENDING and self.channel.default_target is not None:
            place = row["target"] or self.channel.default_target(self._settings)
            known = queue.known_places(connection, self.channel, place)
        return Envelope(
            dedup_key=notification.dedup_key,
            message=compose(notification, self._settings),
            created_at=notification.created_at,
            target=row["target"],
            thread_key=row["thread_key"],
            is_plain=row["is_plain"],
            first_attempt_at=row["first_attempt_at"],
            receipt=row["receipt"] or {},
            known_places=known,
        )

    def _attempt(self, envelope: Envelope) -> Attempt:
        try:
            return self._sender.send(envelope)
        except Exception as error:
            log.exception("%s: the sender failed", self.channel)
            return Attempt(AttemptKind.UNCERTAIN, f"the sender failed: {type(error).__name__}")

    def _after_looking(self, envelope: Envelope, claim: ClaimedDelivery) -> Settlement | None:
        """What to write about a message that may have arrived; None: it did not, send it."""
        found = self._sender.find(envelope)
        unsettled = str(claim.row["last_error"] or "its sender died before the answer")
        match found:
            case Found.YES:
                return Settlement(DeliveryState.DELIVERED, error=f"{unsettled}; found in the channel")
            case Found.NO:
                return None
            case Found.LATER:
                return self._uncertain(claim, unsettled)
            case Found.UNKNOWN:
                return Settlement(DeliveryState.UNCERTAIN, None, unsettled)
        assert_never(found)

    def _uncertain(self, claim: ClaimedDelivery, error: str | None) -> Settlement:
        """Look later; after the last attempt a person has to."""
        looks = claim.attempts < self._policy.max_attempts
        return Settlement(DeliveryState.UNCERTAIN, self._policy.look_after_seconds if looks else None, error)

    def _settlement(self, claim: ClaimedDelivery, attempt: Attempt) -> Settlement:
        error = self._clean(attempt.error) if attempt.error else None
        kind = attempt.kind
        match kind:
            case AttemptKind.DELIVERED:
                return Settlement(DeliveryState.DELIVERED, error=error, receipt=attempt.receipt)
            case AttemptKind.UNCERTAIN if not self.channel.repeats_safely:
                return self._uncertain(claim, error)
            case AttemptKind.UNCERTAIN | AttemptKind.RETRY:
                return self._again_or_dead(claim, attempt, error)
            case AttemptKind.REJECTED_FORM if not claim.row["is_plain"]:
                return Settlement(DeliveryState.PENDING, 0.0, error, becomes_plain=True, refunds_attempt=True)
            case AttemptKind.REJECTED_FORM:
                return Settlement(DeliveryState.DEAD, error=error)
            case AttemptKind.REJECTED_TARGET if claim.row["target"] is not None:
                return Settlement(DeliveryState.PENDING, 0.0, error, loses_target=True, refunds_attempt=True)
            case AttemptKind.REJECTED_TARGET:
                return self._again_or_dead(claim, attempt, error)
        assert_never(kind)

    def _again_or_dead(self, claim: ClaimedDelivery, attempt: Attempt, error: str | None) -> Settlement:
        if claim.attempts >= self._policy.max_attempts:
            return Settlement(DeliveryState.DEAD, error=error, receipt=attempt.receipt)
        wait = max(self._policy.wait_seconds(claim.attempts), attempt.retry_after_seconds or 0.0)
        return Settlement(DeliveryState.PENDING, wait, error, attempt.receipt)

    def _settle(self, connection: Connection, claim: ClaimedDelivery, done: Settlement) -> None:
        if queue.settle(connection, claim, done):
            self._counts[done.state] += not done.refunds_attempt
        if done.error is not None:
            self._error = done.error

    def _watch_channel(self, connection: Connection, attempt: Attempt) -> None:
        """Let the channel rest when it asks for it, hangs, or fails again and again."""
        if attempt.kind is AttemptKind.REJECTED_FORM:
            return
        if attempt.kind is AttemptKind.DELIVERED:
            if self._failures:
                self._remember_success(connection)
            return
        self._failures += 1
        rests = attempt.hung or self._failures >= self._policy.failures_before_pause
        pause = self._policy.pause_seconds(self._failures) if rests else None
        if attempt.retry_after_seconds is not None:
            pause = max(pause or 0.0, attempt.retry_after_seconds)
        queue.pause_channel(connection, self.channel, self._failures, pause, self._clean(attempt.error or ""))

    def _remember_success(self, connection: Connection) -> None:
        self._failures = 0
        queue.channel_works(connection, self.channel)

    def _clean(self, error: object) -> str:
        return shortened(scrubbed(" ".join(str(error).split()), self._settings), LONGEST_ERROR)
