"""Which channels an event goes to, and what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from promotion_pipeline.notifications.channels.port import Channel, Threads
from promotion_pipeline.notifications.events import RESOLVES, SystemEvent
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.store.outbox import Level

ONLY_WHERE_IT_BELONGS: frozenset[str] = frozenset({SystemEvent.HOURLY_SUMMARY}) | RESOLVES
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


def channels_for(event: str, level: Level, configured: Iterable[Channel]) -> tuple[Channel, ...]:
    """Where an event goes, of the channels that are on.

    Where all of its own are off, people are told through those that are on rather than not at all; nobody is woken
    for news.
    """
    on = tuple(configured)
    own = tuple(channel for channel in on if channel.takes(event, level))
    if own or event in ONLY_WHERE_IT_BELONGS:
        return own
    return tuple(channel for channel in on if not channel.wakes_people or level != "info")


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


def key_in(channel: Channel, row: Routed) -> str | None:
    """What ties the messages of a channel together, in the order of what happened; None: nothing does."""
    match channel.threads:
        case Threads.INCIDENT:
            return thread_key(row)
        case Threads.STORY:
            return None if row.experiment_id is None else f"promotion-pipeline/{row.experiment_id}"
        case Threads.NONE:
            return None
