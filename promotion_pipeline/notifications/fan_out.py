"""From the outbox to one delivery a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels.port import Channel
from promotion_pipeline.notifications.routing import (
    PRIORITY,
    RESOLVES,
    Routed,
    channels_for,
    configured_channels,
    order_key,
    thread_key,
)
from promotion_pipeline.store.database import Connection, Store

ROWS_A_TURN = 500
FAN_OUT_LOCK = 0x66616E6F7574
"""Advisory lock: one process routes at a time, in the order of the outbox; the others have nothing to do."""


def fan_out(store: Store, settings: Settings | None = None) -> int:
    """Route every outbox row that was not routed yet; returns the number of deliveries made.

    A row is routed once, by the channels that are on at that moment.

    Raises:
        DependencyError: the database cannot be reached.
    """
    on = configured_channels(settings or store.settings)
    made = 0
    with store.connect() as connection:
        while True:
            with connection.transaction():
                rows = _waiting(connection)
                made += _write(connection, rows, on)
            if len(rows) < ROWS_A_TURN:
                return made


def _waiting(connection: Connection) -> list[dict[str, Any]]:
    lock = connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", [FAN_OUT_LOCK]).fetchone()
    if lock is None or not lock["mine"]:
        return []
    return connection.execute(
        """
        SELECT o.id, o.event, o.level, o.experiment_id, o.promotion_id, o.dedup_key, o.payload, e.owner_channel
        FROM notification_outbox o LEFT JOIN ab_experiments e ON e.id = o.experiment_id
        WHERE o.fanned_out_at IS NULL ORDER BY o.id LIMIT %s
        """,
        [ROWS_A_TURN],
    ).fetchall()


def _write(connection: Connection, rows: Sequence[dict[str, Any]], on: tuple[Channel, ...]) -> int:
    deliveries: list[tuple[object, ...]] = []
    opened: set[str] = set()
    for row in rows:
        owner = (row.pop("owner_channel") or "").strip() or None
        routed = Routed(**row)
        key = thread_key(routed)
        for channel in channels_for(routed.event, routed.level, on):
            if channel is Channel.PAGERDUTY:
                if routed.event in RESOLVES and key not in opened and not _was_opened(connection, key):
                    continue
                opened.add(key)
            target = owner if channel is Channel.SLACK else None
            in_order = {Channel.PAGERDUTY: key, Channel.SLACK: order_key(routed)}.get(channel)
            deliveries.append((routed.id, channel.value, PRIORITY[routed.level], target, in_order))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO notification_deliveries (outbox_id, channel, priority, target, thread_key)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            deliveries,
        )
    for _, name, priority, _, thread in deliveries:
        if name == Channel.SLACK.value and thread is not None and priority != PRIORITY["info"]:
            _hurry(connection, thread, priority)
    connection.execute(
        "UPDATE notification_outbox SET fanned_out_at = clock_timestamp() WHERE id = ANY(%s)", [[r["id"] for r in rows]]
    )
    return len(deliveries)


def _hurry(connection: Connection, thread: object, priority: object) -> None:
    """What happened before goes before: it is as urgent as what waits for it."""
    connection.execute(
        "UPDATE notification_deliveries SET priority = least(priority, %s)"
        " WHERE channel = 'slack' AND thread_key = %s AND state = 'pending'",
        [priority, thread],
    )


def _was_opened(connection: Connection, key: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM notification_deliveries WHERE channel = 'pagerduty' AND thread_key = %s LIMIT 1", [key]
    ).fetchone()
    return found is not None
