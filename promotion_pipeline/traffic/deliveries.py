"""Deliveries in the database: written in the act's transaction, claimed by one worker at a time, settled by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.config import Mode, Settings
from promotion_pipeline.errors import ConfigError, NotFoundError
from promotion_pipeline.store.database import Connection
from promotion_pipeline.traffic.allocations import Split, rounded, split_now, write_allocation
from promotion_pipeline.traffic.targets.configured import TrafficTarget, kind_of, target_of
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE, missing_settings


class TrafficState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    """Nothing is known to have arrived: it is tried, and tried again."""
    APPLIED = "applied"
    """The target took it; what it serves is to be read back."""
    VERIFIED = "verified"
    """The target said that it serves the wanted split."""
    SUPERSEDED = "superseded"
    """A newer generation is wanted now."""
    CONFLICTED = "conflicted"
    """The target serves what neither was there before nor is wanted: somebody else's edit, which a person settles."""
    FAILED = "failed"
    """Tried for the last time."""


UNDER_WAY = (TrafficState.PENDING, TrafficState.APPLIED)
STUCK = (TrafficState.CONFLICTED, TrafficState.FAILED)
"""Only a person goes on from here."""
UNKNOWN_TARGET = "unknown"


class SplitChange(StrEnum):
    """How a split comes to be wanted: what may be overwritten for it."""

    FORWARD = "forward"
    """A promotion or a step: only what we put there, or what was there by our own table."""
    BACK = "back"
    """The split of before: the same, and the target's object of before is put back."""
    OVERWRITE = "overwrite"
    """A person saw somebody else's edit and wants ours: that edit too, but none that came after it."""
    ADOPT = "adopt"
    """A person takes somebody else's edit over: it is served already."""
    REGARDLESS = "regardless"
    """The emergency form: whatever is there."""


@dataclass(frozen=True)
class TrafficDelivery:
    """A row of `traffic_deliveries`; splits are percent by variant id."""

    id: int
    experiment_id: UUID
    promotion_id: UUID | None
    generation: int
    target: str
    wanted: dict[str, Decimal]
    expected: tuple[dict[str, Decimal], ...] | None
    """Splits that may be served before; None: whatever is there is overwritten."""
    goes_back: bool
    says: Mapping[str, Any] | None
    before: Any
    served: dict[str, Decimal] | None
    state: TrafficState
    attempts: int
    error: str | None
    created_at: datetime
    next_attempt_at: datetime
    verified_at: datetime | None

    @property
    def is_under_way(self) -> bool:
        """Whether it is still tried."""
        return self.state in UNDER_WAY

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> TrafficDelivery:
        """The delivery of a row."""
        expected = row["expected"]
        return cls(
            **{
                **row,
                "state": TrafficState(row["state"]),
                "wanted": _read(row["wanted"]),
                "expected": None if expected is None else tuple(map(_read, expected)),
                "served": None if row["served"] is None else _read(row["served"]),
            }
        )


@dataclass(frozen=True)
class Served:
    """An experiment as its traffic is served."""

    id: UUID
    name: str
    configured: object
    """`traffic_target` as it is stored."""
    names: dict[str, str]
    """Variant id -> name."""

    @property
    def target(self) -> TrafficTarget:
        """What serves it.

        Raises:
            ConfigError: `traffic_target` is none.
        """
        return target_of(self.configured, self.name)


def served_experiment(connection: Connection, experiment_id: UUID) -> Served:
    """An experiment and its variants' names.

    Raises:
        NotFoundError: it is gone.
    """
    row = connection.execute(
        """
        SELECT e.id, e.name::text, e.traffic_target AS configured,
            (SELECT coalesce(jsonb_object_agg(v.id::text, v.name::text), '{}') FROM ab_variants v
                WHERE v.experiment_id = e.id) AS names
        FROM ab_experiments e WHERE e.id = %s
        """,
        [experiment_id],
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no experiment has the id {experiment_id}")
    return Served(**row)


def note_delivery(
    connection: Connection, experiment_id: UUID, split: Split, *, promotion_id: UUID | None, way: SplitChange
) -> TrafficDelivery | None:
    """Keep the new split's buckets and put it on its way, in the act's transaction and before `ab_variants` is written.

    Older deliveries of the experiment are superseded. Where the target reads our own tables the transaction is the
    delivery. A way back is noted even where `traffic_target` is no target any more: it fails with that as its error,
    and keeps nobody from rolling back.

    Returns:
        None where the split gives nobody anything.

    Raises:
        ConfigError: `traffic_target` is none, so that a promotion would not arrive anywhere.
    """
    experiment = served_experiment(connection, experiment_id)
    target, trouble = _target(experiment, way)
    expected = _expected(connection, experiment_id, target, way)
    kept = write_allocation(connection, experiment_id, split, goes_back=way is SplitChange.BACK)
    wanted = rounded(split)
    if kept is None or wanted is None:
        return None
    connection.execute(
        "UPDATE traffic_deliveries SET state = 'superseded'"
        " WHERE experiment_id = %s AND state IN ('pending', 'applied', 'conflicted', 'failed')",
        [experiment_id],
    )
    at_once = target in SERVED_FROM_OUR_DATABASE or way is SplitChange.ADOPT
    state = TrafficState.FAILED if trouble else TrafficState.VERIFIED if at_once else TrafficState.PENDING
    row = connection.execute(
        """
        INSERT INTO traffic_deliveries
            (experiment_id, promotion_id, generation, target, wanted, expected, goes_back, served, state, error,
             verified_at)
        VALUES (%(experiment)s, %(promotion)s, %(generation)s, %(target)s, %(wanted)s, %(expected)s, %(goes_back)s,
            %(served)s, %(state)s, %(error)s, CASE WHEN %(state)s = 'verified' THEN clock_timestamp() END)
        RETURNING *
        """,
        {
            "experiment": experiment_id,
            "promotion": promotion_id,
            "generation": kept.generation,
            "target": target,
            "wanted": Jsonb(written(wanted)),
            "expected": None if expected is None else Jsonb([written(one) for one in expected]),
            "goes_back": way is SplitChange.BACK,
            "served": Jsonb(written(wanted)) if at_once else None,
            "state": state.value,
            "error": trouble,
        },
    ).fetchone()
    assert row is not None
    return TrafficDelivery.of(row)


def _target(experiment: Served, way: SplitChange) -> tuple[str, str | None]:
    """The kind of target, and what is wrong with it."""
    try:
        return kind_of(experiment.target).value, None
    except ConfigError as error:
        if way is SplitChange.FORWARD:
            raise
        return UNKNOWN_TARGET, str(error)


def _expected(connection: Connection, experiment_id: UUID, target: str, way: SplitChange) -> list[Split] | None:
    """What may be served until then: the split by our table, what was verified last, and what was tried since."""
    if way is SplitChange.REGARDLESS:
        return None
    found: list[Split] = [split for split in [rounded(split_now(connection, experiment_id))] if split is not None]
    # The lock lets a worker's claim of the older delivery either come first, so that it counts as tried, or not at all.
    row = connection.execute(
        "SELECT * FROM traffic_deliveries WHERE experiment_id = %s AND target = %s"
        " ORDER BY generation DESC LIMIT 1 FOR UPDATE",
        [experiment_id, target],
    ).fetchone()
    if row is not None:
        last = TrafficDelivery.of(row)
        if last.state is TrafficState.VERIFIED:
            found.append(last.served or last.wanted)
        else:
            found.extend(last.expected or ())
            found.extend([last.wanted] if last.attempts else [])
            found.extend([last.served] if way is SplitChange.OVERWRITE and last.served is not None else [])
    return [split for index, split in enumerate(found) if split not in found[:index]]


def newest_delivery(connection: Connection, experiment_id: UUID) -> TrafficDelivery | None:
    """The delivery of the newest generation, whatever became of it."""
    row = connection.execute(
        "SELECT * FROM traffic_deliveries WHERE experiment_id = %s ORDER BY generation DESC LIMIT 1", [experiment_id]
    ).fetchone()
    return None if row is None else TrafficDelivery.of(row)


def delivery_of(connection: Connection, delivery_id: int) -> TrafficDelivery | None:
    """The delivery of an id."""
    row = connection.execute("SELECT * FROM traffic_deliveries WHERE id = %s", [delivery_id]).fetchone()
    return None if row is None else TrafficDelivery.of(row)


def due_deliveries(connection: Connection, settings: Settings) -> list[TrafficDelivery]:
    """What this process may try now, what has waited longest first.

    In shadow mode that is nothing, for no traffic changes; and what it lacks the settings for is left to a process
    that has them, without a failed attempt.
    """
    if settings.mode is Mode.SHADOW:
        return []
    rows = connection.execute(
        "SELECT * FROM traffic_deliveries WHERE state IN ('pending', 'applied')"
        " AND next_attempt_at <= clock_timestamp() ORDER BY next_attempt_at, id"
    )
    found = map(TrafficDelivery.of, rows)
    return [delivery for delivery in found if missing_settings(delivery.target, settings) is None]


def claim(connection: Connection, experiment_id: UUID, wait_seconds: Sequence[float]) -> TrafficDelivery | None:
    """Count one more attempt at what is under way and due; None where nothing is.

    It is counted, and the next one set, before anything is sent: whoever dies on the way leaves a delivery of which
    it is known that it may have arrived.

    Args:
        wait_seconds: until the next attempt, after the first, the second, and so on; the last goes on.
    """
    row = connection.execute(
        """
        UPDATE traffic_deliveries SET attempts = attempts + 1, next_attempt_at = clock_timestamp()
            + (%(waits)s::float8[])[least(attempts + 1, cardinality(%(waits)s::float8[]))] * interval '1 second'
        WHERE experiment_id = %(experiment)s AND state IN ('pending', 'applied')
            AND next_attempt_at <= clock_timestamp()
        RETURNING *
        """,
        {"experiment": experiment_id, "waits": list(wait_seconds)},
    ).fetchone()
    return None if row is None else TrafficDelivery.of(row)


def keep_before(connection: Connection, delivery: TrafficDelivery, whole: Any) -> bool:
    """Keep the target's object of before the first write; False where the delivery is superseded meanwhile."""
    cursor = connection.execute(
        "UPDATE traffic_deliveries SET before = coalesce(before, %s) WHERE id = %s AND state IN ('pending', 'applied')",
        [Jsonb(whole), delivery.id],
    )
    return cursor.rowcount == 1


def try_again(connection: Connection, delivery: TrafficDelivery) -> TrafficDelivery | None:
    """Begin the attempts anew, whatever stopped them, to what serves the experiment now; None: it is served meanwhile.

    Raises:
        ConfigError: `traffic_target` is none.
    """
    target = kind_of(served_experiment(connection, delivery.experiment_id).target)
    row = connection.execute(
        "UPDATE traffic_deliveries SET state = 'pending', target = %s, attempts = 0, error = NULL, verified_at = NULL,"
        " next_attempt_at = clock_timestamp() WHERE id = %s AND state NOT IN ('verified', 'superseded') RETURNING *",
        [target.value, delivery.id],
    ).fetchone()
    return None if row is None else TrafficDelivery.of(row)


def object_of_before(connection: Connection, delivery: TrafficDelivery) -> Any:
    """The target's object of before the promotion that a way back undoes; None where none was kept."""
    if not delivery.goes_back or delivery.promotion_id is None:
        return None
    row = connection.execute(
        "SELECT before FROM traffic_deliveries WHERE promotion_id = %s AND target = %s AND generation < %s"
        " AND jsonb_typeof(before) <> 'null' ORDER BY generation LIMIT 1",
        [delivery.promotion_id, delivery.target, delivery.generation],
    ).fetchone()
    return None if row is None else row["before"]


def settle(
    connection: Connection,
    delivery: TrafficDelivery,
    state: TrafficState,
    *,
    served: Split | None = None,
    before: Split | None = None,
    error: str | None = None,
    wait_seconds: float | None = None,
) -> TrafficDelivery | None:
    """Write what an attempt came to; None where the delivery was superseded meanwhile.

    Args:
        before: what was served before the write. Where anything might be overwritten, that alone may from now on: what
            else is there later is an edit that was made after it.
        wait_seconds: the next attempt is not before that.
    """
    row = connection.execute(
        """
        UPDATE traffic_deliveries SET state = %(state)s, error = %(error)s, served = coalesce(%(served)s, served),
            expected = coalesce(expected, %(before)s),
            next_attempt_at = greatest(next_attempt_at, clock_timestamp() + %(wait)s * interval '1 second'),
            verified_at = CASE WHEN %(state)s = 'verified' THEN clock_timestamp() END
        WHERE id = %(id)s AND state IN ('pending', 'applied')
        RETURNING *
        """,
        {
            "id": delivery.id,
            "state": state.value,
            "error": error,
            "served": None if served is None else Jsonb(written(served)),
            "before": None if before is None else Jsonb([written(before)]),
            "wait": float(wait_seconds or 0),
        },
    ).fetchone()
    if row is not None and served is not None:
        note_served(connection, delivery.experiment_id, served)
    return None if row is None else TrafficDelivery.of(row)


def note_served(connection: Connection, experiment_id: UUID, served: Split) -> None:
    """Keep what the target said just now; percent by variant id."""
    connection.execute(
        "INSERT INTO served_traffic (experiment_id, served, read_at) VALUES (%s, %s, clock_timestamp())"
        " ON CONFLICT (experiment_id) DO UPDATE SET served = excluded.served, read_at = excluded.read_at,"
        " unread = NULL, unread_since = NULL, unread_told_at = NULL",
        [experiment_id, Jsonb(written(served))],
    )


def say_when_verified(connection: Connection, delivery: TrafficDelivery, notification: Mapping[str, Any]) -> None:
    """Keep a notification for the moment in which what it says is true."""
    connection.execute(
        "UPDATE traffic_deliveries SET says = %s WHERE id = %s", [Jsonb(dict(notification)), delivery.id]
    )


def written(split: Split) -> dict[str, str]:
    """A split as JSON keeps it."""
    return {name: str(share) for name, share in split.items()}


def _read(split: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(share) for name, share in split.items()}
