"""Deliveries in the database: claimed one by one, settled by whoever holds the claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.notifications.channels.port import Channel, Threads
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.notifications.states import DeliveryState
from promotion_pipeline.store.database import Connection


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this worker holds."""

    outbox_id: int
    channel: Channel
    token: UUID
    was: DeliveryState
    """Its state before: anything but pending means that the message may have arrived."""
    attempts: int
    """Attempts, this one included."""
    row: Mapping[str, Any]

    @property
    def notification(self) -> Notification:
        """What is to be said."""
        return Notification.from_row(self.row)


CLAIM = """
    WITH due AS (
        SELECT d.outbox_id, d.state AS was
        FROM notification_deliveries d
        WHERE d.channel = %(channel)s AND d.state IN ('pending', 'sending', 'uncertain')
            AND d.next_attempt_at <= now()
            AND NOT EXISTS (
                SELECT 1 FROM notification_channels c WHERE c.channel = d.channel AND c.paused_until > now())
            AND (d.thread_key IS NULL OR NOT EXISTS (
                SELECT 1 FROM notification_deliveries earlier
                WHERE earlier.channel = d.channel AND earlier.thread_key = d.thread_key
                    AND earlier.outbox_id < d.outbox_id
                    -- The end of an incident waits for its begin; people who read wait a few attempts only.
                    AND (%(is_incident)s AND earlier.state IN ('pending', 'sending', 'uncertain')
                        OR earlier.state IN ('pending', 'sending') AND earlier.attempts < 3)))
        ORDER BY d.priority, d.outbox_id
        LIMIT 1 FOR UPDATE OF d SKIP LOCKED
    ), claimed AS (
        UPDATE notification_deliveries d
        SET state = 'sending', claim = gen_random_uuid(), attempts = d.attempts + 1,
            first_attempt_at = coalesce(d.first_attempt_at, now()),
            next_attempt_at = now() + %(seconds)s * interval '1 second'
        FROM due WHERE d.outbox_id = due.outbox_id AND d.channel = %(channel)s
        RETURNING d.*, due.was
    )
    SELECT claimed.outbox_id, claimed.claim, claimed.was, claimed.attempts, claimed.target, claimed.thread_key,
        claimed.is_plain, claimed.first_attempt_at, claimed.receipt, claimed.last_error,
        o.event, o.level, o.created_at, o.dedup_key, o.payload, e.name AS experiment_name,
        p.improvement, p.confidence, p.promoted_at::timestamptz, p.rollback_at::timestamptz,
        (SELECT jsonb_object_agg(v.id::text, v.name) FROM ab_variants v WHERE v.experiment_id = o.experiment_id)
            AS variant_names
    FROM claimed JOIN notification_outbox o ON o.id = claimed.outbox_id
    LEFT JOIN ab_experiments e ON e.id = o.experiment_id
    LEFT JOIN experiment_promotions p ON p.id = o.promotion_id
"""


def count_due(connection: Connection, channels: Sequence[Channel]) -> int:
    """Deliveries that could be claimed now, and outbox rows that were not routed yet."""
    row = connection.execute(
        """
        SELECT (SELECT count(*) FROM notification_outbox WHERE fanned_out_at IS NULL)
            + (SELECT count(*) FROM notification_deliveries d JOIN notification_channels c USING (channel)
                WHERE d.channel = ANY(%s) AND d.state IN ('pending', 'sending', 'uncertain')
                    AND d.next_attempt_at <= now() AND coalesce(c.paused_until <= now(), true)) AS due
        """,
        [[channel.name for channel in channels]],
    ).fetchone()
    return int(row["due"]) if row else 0


def claim_next(connection: Connection, channel: Channel, seconds: float) -> ClaimedDelivery | None:
    """Take the most urgent due delivery of a channel for so many seconds; None where nothing is due."""
    values = {"channel": channel.name, "seconds": seconds, "is_incident": channel.threads is Threads.INCIDENT}
    row = connection.execute(CLAIM, values).fetchone()
    if row is None:
        return None
    was = DeliveryState(row["was"])
    return ClaimedDelivery(row["outbox_id"], channel, row["claim"], was, row["attempts"], row)


@dataclass(frozen=True)
class Settlement:
    """What to write about a claimed delivery."""

    state: DeliveryState
    wait_seconds: float | None = None
    """Until the next attempt, or look; None: none by itself."""
    error: str | None = None
    receipt: Mapping[str, Any] | None = None
    becomes_plain: bool = False
    loses_target: bool = False
    refunds_attempt: bool = False
    """The attempt tells nothing about the channel, so it is not counted."""


def settle(connection: Connection, claim: ClaimedDelivery, done: Settlement) -> bool:
    """Write the result and give the claim back; False where the claim lapsed and somebody else holds it."""
    cursor = connection.execute(
        """
        UPDATE notification_deliveries
        SET state = %(state)s, claim = NULL, last_error = %(error)s,
            next_attempt_at = clock_timestamp() + %(wait)s::float8 * interval '1 second',
            delivered_at = CASE WHEN %(state)s = 'delivered' THEN clock_timestamp() END,
            receipt = coalesce(%(receipt)s, receipt),
            is_plain = is_plain OR %(plain)s,
            target = CASE WHEN %(loses_target)s THEN NULL ELSE target END,
            attempts = attempts - CASE WHEN %(refund)s THEN 1 ELSE 0 END
        WHERE outbox_id = %(outbox_id)s AND channel = %(channel)s AND claim = %(token)s
        """,
        {
            "state": done.state.value,
            "error": done.error,
            "wait": done.wait_seconds,
            "receipt": Jsonb(dict(done.receipt)) if done.receipt is not None else None,
            "plain": done.becomes_plain,
            "loses_target": done.loses_target,
            "refund": done.refunds_attempt,
            "outbox_id": claim.outbox_id,
            "channel": claim.channel.name,
            "token": claim.token,
        },
    )
    return cursor.rowcount == 1


def pause_channel(connection: Connection, channel: Channel, failures: int, seconds: float | None, error: str) -> None:
    """Remember a channel's failure; with `seconds`, no message of it is claimed meanwhile."""
    connection.execute(
        """
        UPDATE notification_channels
        SET failures = %s, last_error = %s, failed_at = clock_timestamp(),
            paused_until = clock_timestamp() + %s::float8 * interval '1 second'
        WHERE channel = %s
        """,
        [failures, error, seconds, channel.name],
    )


def channel_works(connection: Connection, channel: Channel) -> None:
    """Remember that a channel confirmed a message."""
    connection.execute(
        "UPDATE notification_channels SET failures = 0, paused_until = NULL, delivered_at = clock_timestamp()"
        " WHERE channel = %s",
        [channel.name],
    )


def failures_of(connection: Connection, channel: Channel) -> int:
    """Failures of a channel in a row."""
    query = "SELECT failures FROM notification_channels WHERE channel = %s"
    row = connection.execute(query, [channel.name]).fetchone()
    return int(row["failures"]) if row else 0


def known_places(connection: Connection, channel: Channel, place: str) -> dict[str, str]:
    """The channel's own id of a place, as the newest confirmed delivery to it told."""
    row = connection.execute(
        """
        SELECT receipt ->> 'channel' AS id FROM notification_deliveries
        WHERE channel = %s AND state = 'delivered' AND receipt ->> 'place' = %s
        ORDER BY outbox_id DESC LIMIT 1
        """,
        [channel.name, place],
    ).fetchone()
    return {place: row["id"]} if row and row["id"] else {}
