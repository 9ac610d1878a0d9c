"""From the outbox to one delivery a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels.port import Channel, Threads
from promotion_pipeline.notifications.channels.registry import configured_channels
from promotion_pipeline.notifications.events import RESOLVES
from promotion_pipeline.notifications.routing import PRIORITY, Routed, channels_for, key_in, thread_key
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
    deliveries: list[tuple[int, str, int, str | None, str | None]] = []
    opened: set[tuple[Channel, str]] = set()
    for row in rows:
        owner = (row.pop("owner_channel") or "").strip() or None
        routed = Routed(**row)
        incident = thread_key(routed)
        for channel in channels_for(routed.event, routed.level, on):
            if channel.threads is Threads.INCIDENT:
                goes = (channel, incident) in opened or routed.event not in RESOLVES
                if not goes and not _was_opened(connection, channel, incident):
                    continue
                opened.add((channel, incident))
            target = None if channel.default_target is None else owner
            deliveries.append((routed.id, channel.name, PRIORITY[routed.level], target, key_in(channel, routed)))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO notification_deliveries (outbox_id, channel, priority, target, thread_key)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            deliveries,
        )
    stories = {channel.name for channel in on if channel.threads is Threads.STORY}
    for _, name, priority, _, thread in deliveries:
        if name in stories and thread is not None and priority != PRIORITY["info"]:
            _hurry(connection, name, thread, priority)
    connection.execute(
        "UPDATE notification_outbox SET fanned_out_at = clock_timestamp() WHERE id = ANY(%s)", [[r["id"] for r in rows]]
    )
    return len(deliveries)


def _hurry(connection: Connection, channel: str, thread: str, priority: int) -> None:
    """What happened before goes before: it is as urgent as what waits for it."""
    connection.execute(
        "UPDATE notification_deliveries SET priority = least(priority, %s)"
        " WHERE channel = %s AND thread_key = %s AND state = 'pending'",
        [priority, channel, thread],
    )


def _was_opened(connection: Connection, channel: Channel, incident: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM notification_deliveries WHERE channel = %s AND thread_key = %s LIMIT 1", [channel.name, incident]
    ).fetchone()
    return found is not None
