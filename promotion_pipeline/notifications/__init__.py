"""Telling people: from the outbox to Slack, PagerDuty and e-mail.

Not here: what happened (that is `promotion`), and another way past the outbox.

    fan_out(store)               # one delivery a channel for every new row of the outbox
    deliver_due(store)           # send what is due
    deliver_everything(store)    # both, and the summary that is due before them

An act writes to the outbox in its own transaction; everything here happens afterwards, and delays no act.
"""

from promotion_pipeline.notifications.channels.port import Channel
from promotion_pipeline.notifications.channels.registry import CHANNELS, channel_named, configured_channels
from promotion_pipeline.notifications.deliver import (
    ChannelReport,
    DeliveryReport,
    deliver_due,
    deliver_everything,
    is_work_waiting,
    senders_of,
)
from promotion_pipeline.notifications.events import SystemEvent
from promotion_pipeline.notifications.fan_out import fan_out
from promotion_pipeline.notifications.policy import DeliveryPolicy
from promotion_pipeline.notifications.review import Delivery, DeliveryId, ReplayResult, confirm, list_deliveries, replay
from promotion_pipeline.notifications.states import DeliveryState
from promotion_pipeline.notifications.system import enqueue_run_failure, enqueue_run_recovery, enqueue_summary
from promotion_pipeline.notifications.trial import TrialResult, send_test_messages

__all__ = [
    "CHANNELS",
    "Channel",
    "ChannelReport",
    "Delivery",
    "DeliveryId",
    "DeliveryPolicy",
    "DeliveryReport",
    "DeliveryState",
    "ReplayResult",
    "SystemEvent",
    "TrialResult",
    "channel_named",
    "configured_channels",
    "confirm",
    "deliver_due",
    "deliver_everything",
    "enqueue_run_failure",
    "enqueue_run_recovery",
    "enqueue_summary",
    "fan_out",
    "is_work_waiting",
    "list_deliveries",
    "replay",
    "send_test_messages",
    "senders_of",
]
