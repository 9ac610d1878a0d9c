"""From a notification to its message."""

from __future__ import annotations

import dataclasses
from typing import assert_never

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications import system_wording, wording
from promotion_pipeline.notifications.events import SystemEvent, event_named
from promotion_pipeline.notifications.links import approval_link, dagster_link, evidence_link, overview_link, run_link
from promotion_pipeline.notifications.message import Fact, Link, Message, MessageTable, one_line
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.notifications.payload import RunFailurePayload, RunRecoveredPayload, SummaryPayload
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.promotion.act import payload as payloads
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.store.payload import OwnWords


def compose(notification: Notification, settings: Settings) -> Message:
    """The message of a notification; an event without words of its own gets those of its payload.

    No secret of the settings is in it, whatever the payload says.
    """
    message = dataclasses.replace(_in_words(notification), links=_links(notification, settings))
    return _without_secrets(message, settings)


def _in_words(n: Notification) -> Message:
    event = event_named(n.event)
    if event is None:
        return system_wording.anything(n, OwnWords.read(n.payload))
    return _system(event, n) if isinstance(event, SystemEvent) else _lifecycle(event, n)


def _lifecycle(event: Event, n: Notification) -> Message:
    match event:
        case Event.PROMOTION | Event.PROMOTION_WITH_WARNINGS:
            return wording.promotion(n, payloads.PromotionPayload.read(n.payload))
        case Event.WARNINGS_SETTLED:
            return wording.warnings_settled(n, payloads.WarningsSettledPayload.read(n.payload))
        case Event.APPROVAL_REQUESTED:
            return wording.approval_requested(n, payloads.ApprovalRequestedPayload.read(n.payload))
        case Event.APPROVAL_DECLINED:
            return wording.approval_declined(n, payloads.ApprovalDeclinedPayload.read(n.payload))
        case Event.RAMP_STEP:
            return wording.ramp_step(n, payloads.RampStepPayload.read(n.payload))
        case Event.RAMP_BLOCKED:
            return wording.ramp_blocked(n, payloads.RampBlockedPayload.read(n.payload))
        case Event.WATCH_BREACH:
            return wording.watch_breach(n, payloads.WatchBreachPayload.read(n.payload))
        case Event.BREACH_ACKNOWLEDGED:
            return wording.breach_acknowledged(n, payloads.BreachAcknowledgedPayload.read(n.payload))
        case Event.WATCH_BLIND:
            return wording.watch_blind(n, payloads.WatchBlindPayload.read(n.payload))
        case Event.SPLIT_DRIFT:
            return wording.split_drift(n, payloads.SplitDriftPayload.read(n.payload))
        case Event.SPLIT_OVERWRITTEN:
            return wording.split_overwritten(n, payloads.SplitOverwrittenPayload.read(n.payload))
        case Event.ROLLBACK:
            return wording.rollback(n, payloads.RollbackPayload.read(n.payload))
        case Event.HOLD_RELEASED:
            return wording.hold_released(n, payloads.HoldReleasedPayload.read(n.payload))
    assert_never(event)


def _system(event: SystemEvent, n: Notification) -> Message:
    match event:
        case SystemEvent.HOURLY_SUMMARY:
            return system_wording.summary(n, SummaryPayload.read(n.payload))
        case SystemEvent.RUN_FAILURE:
            return system_wording.run_failure(n, RunFailurePayload.read(n.payload))
        case SystemEvent.RUN_RECOVERED:
            return system_wording.run_recovered(n, RunRecoveredPayload.read(n.payload))
        case SystemEvent.TEST:
            return system_wording.test(n)
    assert_never(event)


def _links(n: Notification, settings: Settings) -> tuple[Link, ...]:
    run = run_link(settings, n.run_id) if n.run_id else dagster_link(settings)
    if n.experiment_name and n.event == Event.APPROVAL_REQUESTED:
        return approval_link(settings, n.experiment_name), run
    if n.experiment_name:
        return evidence_link(settings, n.experiment_name), run
    return (overview_link(settings), run) if n.event == SystemEvent.HOURLY_SUMMARY else (run,)


def _without_secrets(message: Message, settings: Settings) -> Message:
    def clean(text: str) -> str:
        return scrubbed(text, settings)

    table = message.table
    return dataclasses.replace(
        message,
        title=one_line(clean(message.title)),
        what_happened=tuple(clean(sentence) for sentence in message.what_happened),
        facts=tuple(Fact(clean(each.label), clean(each.value)) for each in message.facts),
        next_step=clean(message.next_step),
        links=tuple(Link(link.label, clean(link.url)) for link in message.links),
        experiment_name=None if message.experiment_name is None else clean(message.experiment_name),
        table=table and MessageTable(table.columns, tuple(tuple(clean(cell) for cell in row) for row in table.rows)),
    )
