"""Old notifications are removed, so that the outbox does not grow for good; what a person may still need is kept."""

from __future__ import annotations

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels.port import Threads
from promotion_pipeline.notifications.channels.registry import CHANNELS
from promotion_pipeline.notifications.events import OPENS, RESOLVES
from promotion_pipeline.store.database import Store

MOST_ROWS_A_PASS = 5_000
PAGERS = [channel.name for channel in CHANNELS if channel.threads is Threads.INCIDENT]

OLD = """
    SELECT o.id FROM notification_outbox o
    WHERE o.created_at < now() - %(days)s * interval '1 day' AND o.fanned_out_at IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM notification_deliveries d
            WHERE d.outbox_id = o.id
                AND (d.state <> 'delivered' OR d.delivered_at >= now() - %(days)s * interval '1 day'))
        AND NOT (o.event = ANY(%(opens)s) AND EXISTS (
            SELECT 1 FROM notification_deliveries paged
            WHERE paged.outbox_id = o.id AND paged.channel = ANY(%(pagers)s) AND NOT EXISTS (
                SELECT 1 FROM notification_deliveries later JOIN notification_outbox ended ON ended.id = later.outbox_id
                WHERE later.channel = paged.channel AND later.thread_key = paged.thread_key
                    AND later.outbox_id > o.id AND ended.event = ANY(%(resolves)s))))
    ORDER BY o.created_at LIMIT %(most)s FOR UPDATE OF o SKIP LOCKED
"""


def remove_old(store: Store, settings: Settings | None = None) -> int:
    """Remove what was delivered AUTO_PROMOTION_NOTIFICATION_RETENTION_DAYS ago; returns how many notifications.

    Kept are dead letters, deliveries whose fate is unknown, and incidents that the pager still shows: lifting a hold
    after a year must find the alarm that it ends.

    Raises:
        DependencyError: the database cannot be reached.
    """
    days = (settings or store.settings).notification_retention_days
    if days == 0:
        return 0
    values = {
        "days": days,
        "opens": sorted(OPENS),
        "resolves": sorted(RESOLVES),
        "most": MOST_ROWS_A_PASS,
        "pagers": PAGERS,
    }
    with store.connect() as connection, connection.transaction():
        old = [row["id"] for row in connection.execute(OLD, values).fetchall()]
        connection.execute("DELETE FROM notification_deliveries WHERE outbox_id = ANY(%s)", [old])
        connection.execute("DELETE FROM notification_outbox WHERE id = ANY(%s)", [old])
    return len(old)
