"""Who is told of what: DESIGN section 10's table, and what an event is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels import Channel
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.store.outbox import Level


class SystemEvent(StrEnum):
    """Notifications about the system itself, beside those of the lifecycle."""

    HOURLY_SUMMARY = "hourly_summary"
    """What an hour decided, for everybody's inbox; info."""
    RUN_FAILURE = "run_failure"
    """A run of our own jobs failed for good; warning."""
    RUN_RECOVERED = "run_recovered"
    """The job that had failed succeeded again; info."""
    TEST = "test"
    """Sent by hand to see whether a channel works; info."""


SLACK, PAGERDUTY, EMAIL = Channel.SLACK, Channel.PAGERDUTY, Channel.EMAIL

BY_LEVEL: dict[Level, tuple[Channel, ...]] = {
    "info": (SLACK,),
    "warning": (SLACK, PAGERDUTY),
    "critical": (SLACK, PAGERDUTY, EMAIL),
}
"""Channels of an event that has no line of its own below."""

BY_EVENT: dict[str, tuple[Channel, ...]] = {
    Event.PROMOTION: (SLACK, EMAIL),
    Event.APPROVAL_REQUESTED: (SLACK,),
    Event.PROMOTION_WITH_WARNINGS: (SLACK, PAGERDUTY),
    Event.ROLLBACK: (SLACK, PAGERDUTY, EMAIL),
    Event.WATCH_BREACH: (SLACK, PAGERDUTY, EMAIL),
    Event.BREACH_ACKNOWLEDGED: (SLACK, PAGERDUTY),
    Event.WATCH_BLIND: (SLACK, EMAIL),
    Event.SPLIT_DRIFT: (SLACK, EMAIL),
    Event.HOLD_RELEASED: (SLACK, PAGERDUTY),
    Event.RAMP_STEP: (SLACK, PAGERDUTY),
    Event.WARNINGS_SETTLED: (PAGERDUTY,),
    SystemEvent.RUN_RECOVERED: (SLACK, PAGERDUTY),
    SystemEvent.HOURLY_SUMMARY: (EMAIL,),
}

RESOLVES: frozenset[str] = frozenset(
    {
        Event.BREACH_ACKNOWLEDGED,
        Event.HOLD_RELEASED,
        Event.RAMP_STEP,
        Event.WARNINGS_SETTLED,
        SystemEvent.RUN_RECOVERED,
    }
)
"""Events that end an incident; the pager hears of them only where it was told of the incident."""

OPENS: frozenset[str] = frozenset({Event.WATCH_BREACH, Event.ROLLBACK, Event.RAMP_BLOCKED, SystemEvent.RUN_FAILURE})
"""Events that begin an incident which one of those ends."""

MAIL_ONLY: frozenset[str] = frozenset({SystemEvent.HOURLY_SUMMARY})
"""Events that are not worth another channel when theirs is off."""

PRIORITY: dict[Level, int] = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Routed:
    """An outbox row as routing sees it."""

    id: int
    event: str
    level: Level
    experiment_id: UUID | None
    promotion_id: UUID | None
    dedup_key: str
    payload: dict[str, Any]


def configured_channels(settings: Settings) -> tuple[Channel, ...]:
    """The channels that the settings switch on."""
    on = {
        SLACK: settings.slack_token is not None,
        PAGERDUTY: settings.pagerduty_routing_key is not None,
        EMAIL: settings.smtp_host is not None,
    }
    return tuple(channel for channel, is_on in on.items() if is_on)


def channels_for(event: str, level: Level, configured: Iterable[Channel]) -> tuple[Channel, ...]:
    """Where an event goes, of the channels that are on.

    Where all of its own are off, people are told through those that are on rather than not at all; the pager
    rings for warnings and worse only.
    """
    on = tuple(configured)
    own = tuple(channel for channel in BY_EVENT.get(event, BY_LEVEL[level]) if channel in on)
    if own or event in MAIL_ONLY or event in RESOLVES:
        return own
    return tuple(channel for channel in on if channel is not PAGERDUTY or level != "info")


def thread_key(row: Routed) -> str:
    """What the event is about: the pager's dedup key, so that a rollback joins the breach before it.

    An experiment has one incident of breaches and rollbacks, which the release of its hold ends; a promotion has
    one of its ramp; a job has one of its failures. Warnings have their own, so that they hide nothing worse.
    """
    subject = row.experiment_id or "system"
    match row.event:
        case Event.WATCH_BREACH | Event.BREACH_ACKNOWLEDGED | Event.ROLLBACK | Event.HOLD_RELEASED:
            return f"promotion-pipeline/{subject}/incident"
        case Event.RAMP_BLOCKED | Event.RAMP_STEP:
            return f"promotion-pipeline/{subject}/ramp/{row.promotion_id}"
        case SystemEvent.RUN_FAILURE | SystemEvent.RUN_RECOVERED:
            return f"promotion-pipeline/run-failure/{row.payload.get('job', 'unknown')}"
        case Event.PROMOTION_WITH_WARNINGS | Event.WARNINGS_SETTLED:
            return f"promotion-pipeline/{subject}/warnings/{row.promotion_id}"
    return f"promotion-pipeline/{row.dedup_key}"


def order_key(row: Routed) -> str | None:
    """What is told in the order of what happened: everything about one experiment."""
    return None if row.experiment_id is None else f"promotion-pipeline/{row.experiment_id}"
