"""What the tests of notifications do again and again."""

from __future__ import annotations

import dataclasses
from typing import Any

from promotion_pipeline.notifications import DeliveryPolicy, DeliveryReport, deliver_due, fan_out
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import Level, enqueue

SLACK_TOKEN = "xoxb-canary-slack-token"
ROUTING_KEY = "canaryroutingkey0123456789abcdef"
SMTP_PASSWORD = "canary-smtp-password"
CRON_SECRET = "canary-cron-secret-0123"
CANARIES = (SLACK_TOKEN, ROUTING_KEY, SMTP_PASSWORD, CRON_SECRET)

IMPATIENT = DeliveryPolicy(
    first_wait_seconds=0.0,
    longest_wait_seconds=0.0,
    longest_pause_seconds=0.0,
    look_after_seconds=0.0,
    budget_seconds=30.0,
)
"""Tries again at once, in the same pass."""

ONE_TRY = dataclasses.replace(
    IMPATIENT,
    first_wait_seconds=600.0,
    longest_wait_seconds=600.0,
    longest_pause_seconds=600.0,
    look_after_seconds=600.0,
)
"""Tries once a pass."""

SHORT_WAIT = 0.3
"""Time-out, in seconds, of tests in which a server hangs."""


def write(store: Store, event: str, level: Level = "info", key: str | None = None, **payload: Any) -> None:
    """Put one notification in the outbox."""
    with store.connect() as connection:
        assert enqueue(connection, event, level, None, None, key or f"{event}:1", payload)


def deliver(store: Store, policy: DeliveryPolicy = IMPATIENT) -> DeliveryReport:
    """Route and send what is due."""
    fan_out(store)
    return deliver_due(store, policy=policy)


def states(store: Store) -> dict[str, str]:
    """State by channel, of the newest notification in each."""
    return {name: str(row["state"]) for name, row in rows(store).items()}


def rows(store: Store) -> dict[str, dict[str, Any]]:
    """Delivery by channel, of the newest notification in each."""
    with store.connect() as connection:
        found = connection.execute("SELECT * FROM notification_deliveries ORDER BY outbox_id").fetchall()
    return {row["channel"]: row for row in found}


def make_all_due(store: Store) -> None:
    """Let every wait be over."""
    with store.connect() as connection:
        connection.execute(
            "UPDATE notification_deliveries SET next_attempt_at = now() - interval '1 second'"
            " WHERE state <> 'delivered' AND next_attempt_at IS NOT NULL"
        )
        connection.execute("UPDATE notification_channels SET paused_until = NULL")


def settings_with(store: Store, **changes: Any) -> Store:
    """The store with other settings."""
    return dataclasses.replace(store, settings=store.settings.model_copy(update=changes))
