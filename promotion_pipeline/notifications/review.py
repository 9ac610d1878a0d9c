"""What a person does about notifications: look at them, send one again, say that one arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promotion_pipeline.errors import InputError
from promotion_pipeline.notifications.channels.port import Channel, Threads
from promotion_pipeline.notifications.channels.registry import channel_named
from promotion_pipeline.notifications.events import RESOLVES
from promotion_pipeline.notifications.states import DeliveryState
from promotion_pipeline.store.database import Connection, Store

WAITING_STATES = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.UNCERTAIN, DeliveryState.DEAD)
"""What is not done."""
REPLAYABLE_STATES = (DeliveryState.DEAD, DeliveryState.UNCERTAIN)


@dataclass(frozen=True)
class DeliveryId:
    """One notification in one channel; written `17:slack`."""

    outbox_id: int
    channel: Channel

    def __str__(self) -> str:
        return f"{self.outbox_id}:{self.channel.name}"

    @classmethod
    def parse(cls, text: str) -> DeliveryId:
        """Read the written form.

        Raises:
            InputError: it is not of that form.
        """
        number, _, channel = text.partition(":")
        try:
            return cls(int(number), channel_named(channel))
        except (ValueError, InputError):
            raise InputError(
                f"{text!r} is no delivery: write for example 17:slack, as `promotion-pipeline notifications list` shows"
            ) from None


@dataclass(frozen=True)
class Delivery:
    """One notification in one channel, as stored."""

    id: DeliveryId
    state: DeliveryState
    event: str
    level: str
    experiment_name: str | None
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    """None: nothing happens by itself."""
    last_error: str | None

    def to_json(self) -> dict[str, Any]:
        """JSON values by camelCase names."""
        return {
            "id": str(self.id),
            "channel": self.id.channel.name,
            "state": self.state.value,
            "event": self.event,
            "level": self.level,
            "experimentName": self.experiment_name,
            "createdAt": self.created_at.isoformat(),
            "attempts": self.attempts,
            "nextAttemptAt": self.next_attempt_at and self.next_attempt_at.isoformat(),
            "lastError": self.last_error,
        }


@dataclass(frozen=True)
class ReplayResult:
    """What a replay did."""

    replayed: tuple[DeliveryId, ...]
    """To be sent again."""
    skipped: dict[DeliveryId, str]
    """Left as they are, and why."""


def list_deliveries(
    store: Store,
    states: Sequence[DeliveryState] = WAITING_STATES,
    *,
    channel: Channel | None = None,
    limit: int = 200,
) -> list[Delivery]:
    """Deliveries in any of these states, the oldest first.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        rows = connection.execute(
            """
            SELECT d.outbox_id, d.channel, d.state, d.attempts, d.next_attempt_at, d.last_error, o.event, o.level,
                o.created_at, coalesce(e.name, o.payload ->> 'experiment_name') AS experiment_name
            FROM notification_deliveries d JOIN notification_outbox o ON o.id = d.outbox_id
            LEFT JOIN ab_experiments e ON e.id = o.experiment_id
            WHERE d.state = ANY(%(states)s) AND (%(channel)s::text IS NULL OR d.channel = %(channel)s)
            ORDER BY d.outbox_id, d.channel LIMIT %(limit)s
            """,
            {"states": [state.value for state in states], "channel": channel and channel.name, "limit": limit},
        ).fetchall()
    return [_delivery(row) for row in rows]


def count_deliveries(store: Store) -> dict[DeliveryState, int]:
    """Deliveries by state, over all channels.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        rows = connection.execute("SELECT state, count(*) AS n FROM notification_deliveries GROUP BY 1").fetchall()
    return {DeliveryState(row["state"]): row["n"] for row in rows}


def replay(store: Store, ids: Sequence[DeliveryId]) -> ReplayResult:
    """Send dead and uncertain deliveries again, from the first attempt on.

    What is delivered stays delivered. An alarm whose end the pager knows already is not raised again.

    Raises:
        DependencyError: the database cannot be reached.
    """
    replayed, skipped = [], {}
    with store.connect() as connection, connection.transaction():
        for one in ids:
            reason = _reason_to_skip(connection, one)
            if reason is None:
                _reset(connection, one)
                replayed.append(one)
            else:
                skipped[one] = reason
        for channel in {one.channel for one in replayed}:
            connection.execute(
                "UPDATE notification_channels SET paused_until = NULL WHERE channel = %s", [channel.name]
            )
    return ReplayResult(tuple(replayed), skipped)


def confirm(store: Store, ids: Sequence[DeliveryId]) -> tuple[DeliveryId, ...]:
    """Say of uncertain deliveries that they arrived; returns those that were uncertain.

    Raises:
        DependencyError: the database cannot be reached.
    """
    confirmed = []
    with store.connect() as connection, connection.transaction():
        for one in ids:
            cursor = connection.execute(
                "UPDATE notification_deliveries SET state = 'delivered', delivered_at = clock_timestamp(),"
                " next_attempt_at = NULL WHERE outbox_id = %s AND channel = %s AND state = 'uncertain'",
                [one.outbox_id, one.channel.name],
            )
            if cursor.rowcount:
                confirmed.append(one)
    return tuple(confirmed)


def _reason_to_skip(connection: Connection, one: DeliveryId) -> str | None:
    row = connection.execute(
        "SELECT d.state, d.thread_key, o.event FROM notification_deliveries d"
        " JOIN notification_outbox o ON o.id = d.outbox_id WHERE d.outbox_id = %s AND d.channel = %s FOR UPDATE OF d",
        [one.outbox_id, one.channel.name],
    ).fetchone()
    if row is None:
        return "there is no such delivery"
    if row["state"] not in {state.value for state in REPLAYABLE_STATES}:
        return f"it is {row['state']}"
    if one.channel.threads is not Threads.INCIDENT or row["event"] in RESOLVES:
        return None
    ended = connection.execute(
        "SELECT 1 FROM notification_deliveries d JOIN notification_outbox o ON o.id = d.outbox_id"
        " WHERE d.channel = %s AND d.thread_key = %s AND d.outbox_id > %s AND o.event = ANY(%s) LIMIT 1",
        [one.channel.name, row["thread_key"], one.outbox_id, sorted(RESOLVES)],
    ).fetchone()
    return "the incident is over since" if ended else None


def _reset(connection: Connection, one: DeliveryId) -> None:
    connection.execute(
        "UPDATE notification_deliveries SET state = 'pending', attempts = 0, next_attempt_at = clock_timestamp()"
        " WHERE outbox_id = %s AND channel = %s",
        [one.outbox_id, one.channel.name],
    )


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(
        id=DeliveryId(row["outbox_id"], channel_named(row["channel"])),
        state=DeliveryState(row["state"]),
        event=row["event"],
        level=row["level"],
        experiment_name=row["experiment_name"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
    )
