"""One act, one transaction: the locks, the retries and what the database's errors mean."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from promotion_pipeline.decisions.phases import note_experiment, unnoted_experiments
from promotion_pipeline.errors import AlreadyPromotedError, ConfigError, ConflictError, DependencyError, InputError
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.promotion.record.experiments import (
    Experiment,
    Variant,
    experiment_of,
    experiments_named,
    split_of,
    variants_of,
)
from promotion_pipeline.promotion.record.splits import Split
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.database import Connection, Store, current_store
from promotion_pipeline.store.outbox import Level, enqueue
from promotion_pipeline.store.payload import Payload
from promotion_pipeline.store.session_settings import READ_ONLY
from promotion_pipeline.traffic.deliveries import SplitChange, TrafficDelivery, note_delivery, say_when_verified

LOCK_SECONDS = 30
RETRY_SECONDS = 0.02
ATTEMPTS = 4
ACT_LOCK = 0x70726F6D6F7465
"""Seed of the advisory lock that acts on one experiment queue on."""
_SERVER_TROUBLE = frozenset({"08", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE that speak of the server or of other sessions, not of what was asked."""
BUSY = f"another act on this experiment did not finish within {LOCK_SECONDS} s: try again in a moment"

Mark = Callable[[], Mapping[str, Any]]
"""Says which request asked for an act, as far as the door knows when the act is written."""
_asked_through: ContextVar[Mark | None] = ContextVar("asked_through", default=None)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ActContext:
    """What an act works with: the experiment as it stands, and the open transaction that holds its lock.

    `at` is the database's time after the lock was granted, `as_of` the end of the newest hour complete then.
    """

    store: Store
    connection: Connection
    experiment: Experiment
    variants: tuple[Variant, ...]
    at: datetime
    as_of: datetime

    @property
    def split(self) -> Split:
        """Percent of traffic by variant id, as stored now."""
        return split_of(self.variants)

    def audit(self, actor: str, action: str, promotion_id: UUID | None, details: Mapping[str, Any]) -> None:
        """Append who did what, and the request that asked for it."""
        mark = _asked_through.get()
        full = {**details, **(mark() if mark is not None else {})}
        self.connection.execute(
            "INSERT INTO promotion_audit (actor, action, experiment_id, promotion_id, details)"
            " VALUES (%s, %s, %s, %s, %s)",
            [actor, action, self.experiment.id, promotion_id, Jsonb(full)],
        )

    def notify(self, event: Event, level: Level, promotion_id: UUID | None, dedup_key: str, payload: Payload) -> bool:
        """Put a notification in the outbox; False if it is there already."""
        full = {"experiment_name": self.experiment.name, "at": self.at.isoformat(), **payload.stored()}
        return enqueue(self.connection, event, level, self.experiment.id, promotion_id, dedup_key, full)

    def set_traffic(
        self,
        split: Mapping[str, Any],
        *,
        is_active: bool,
        promotion_id: UUID | None,
        way: SplitChange = SplitChange.FORWARD,
    ) -> TrafficDelivery | None:
        """Write the split and its delivery, start or stop the experiment, open the next phase.

        Raises:
            ConfigError: what serves the traffic is not known (`traffic_target`), on the way forward only.
        """
        wanted = {key: Decimal(share) for key, share in split.items()}
        delivery = note_delivery(self.connection, self.experiment.id, wanted, promotion_id=promotion_id, way=way)
        self.connection.execute(
            "UPDATE ab_variants v SET traffic_percentage = s.share"
            " FROM unnest(%s::uuid[], %s::numeric[]) AS s (id, share) WHERE v.id = s.id AND v.experiment_id = %s",
            [list(split), list(split.values()), self.experiment.id],
        )
        # The way back is never refused for a flag that another experiment serves as well; the doctor names the two.
        self.connection.execute(
            "SELECT set_config('promotion_pipeline.going_back', %s, true)",
            ["off" if way is SplitChange.FORWARD else "on"],
        )
        self.connection.execute(
            "UPDATE ab_experiments SET is_active = %s WHERE id = %s", [is_active, self.experiment.id]
        )
        self.connection.execute("SELECT ab_sync_phase(%s)", [self.experiment.id])
        return delivery

    def notify_when_served(
        self,
        delivery: TrafficDelivery | None,
        event: Event,
        level: Level,
        promotion_id: UUID | None,
        dedup_key: str,
        payload: Payload,
    ) -> None:
        """Put a notification in the outbox once what it says is served; at once where the act is the delivery."""
        if delivery is None or not delivery.is_under_way:
            self.notify(event, level, promotion_id, dedup_key, payload)
            return
        full = {"experiment_name": self.experiment.name, "at": self.at.isoformat(), **payload.stored()}
        said = {
            "event": event.value,
            "level": level,
            "experiment_id": str(self.experiment.id),
            "promotion_id": None if promotion_id is None else str(promotion_id),
            "dedup_key": dedup_key,
            "payload": full,
        }
        say_when_verified(self.connection, delivery, said)


@contextlib.contextmanager
def asked_through(mark: Mark) -> Iterator[None]:
    """Let the audit of acts in this context name the request that asked for them."""
    token = _asked_through.set(mark)
    try:
        yield
    finally:
        _asked_through.reset(token)


def store_or_current(store: Store | None) -> Store:
    """The store to act on: the one given, else the environment's."""
    return store if store is not None else current_store()


def in_transaction(store: Store, work: Callable[[Connection], _Result]) -> _Result:
    """Run `work` in one transaction; started over when the database asked for it (deadlock, serialization).

    Raises:
        DependencyError: the database went away. If that was at COMMIT, the act may have been recorded: the history
            tells, and a repeated act answers with a conflict instead of acting twice.
        ConflictError: another act held the experiment for too long.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with store.connect() as connection, database_errors(), connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                return work(connection)
        except (pg.DeadlockDetected, pg.SerializationFailure):
            if attempt == ATTEMPTS:
                raise ConflictError("other acts on the same experiment keep interfering: try again") from None
    raise AssertionError("unreachable")


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Give the database's errors the product's names; deadlocks pass, for `in_transaction` to start over.

    Raises:
        ConflictError: a constraint, a type, a right or a trigger of the application's tables does not allow the write.
    """
    try:
        yield
    except (pg.DeadlockDetected, pg.SerializationFailure):
        raise
    except pg.LockNotAvailable:
        raise ConflictError(BUSY) from None
    except pg.UniqueViolation as error:
        if error.diag.constraint_name != "experiment_promotions_one_live":
            raise ConflictError(_refusal(error)) from None
        raise AlreadyPromotedError("a live promotion of this experiment exists already: see its history") from None
    except pg.ReadOnlySqlTransaction:
        raise DependencyError(READ_ONLY) from None
    except pg.UntranslatableCharacter as error:
        raise InputError(f"the database's encoding has no such character: {error.diag.message_primary}") from None
    except pg.ObjectNotInPrerequisiteState as error:
        raise ConfigError(str(error.diag.message_primary)) from None
    except psycopg.Error as error:
        if _is_refusal(error):
            raise ConflictError(_refusal(error)) from None
        if not isinstance(error, psycopg.OperationalError):
            raise
        text = " ".join(str(error).split())
        raise DependencyError(
            f"the database went away ({text}): when it is back, the history tells whether the act was recorded"
        ) from None


def _is_refusal(error: psycopg.Error) -> bool:
    """Whether the server is well and the tables do not allow the statement; not so for a mistake in our own SQL."""
    if error.sqlstate is None:
        return False
    if isinstance(error, (psycopg.DataError, psycopg.IntegrityError, pg.InsufficientPrivilege)):
        return True
    # An error with a context was raised inside a function, so by a trigger, whatever SQLSTATE its author chose.
    return bool(error.diag.context) and error.sqlstate[:2] not in _SERVER_TROUBLE


def _refusal(error: psycopg.Error) -> str:
    found = error.diag
    raised_in = (found.context or "").splitlines()
    of_table = f" of the table {found.table_name}" if found.table_name else ""
    where = f" (constraint {found.constraint_name}{of_table})" if found.constraint_name else ""
    inside = f" (in {raised_in[-1]})" if raised_in and not where else ""
    if isinstance(error, pg.InsufficientPrivilege):
        remedy = (
            "GRANT it to the role that runs the product (`promotion-pipeline db grants ROLE` prints what that needs;"
            " triggers of the application run with its rights too)"
        )
    elif isinstance(error, pg.CharacterNotInRepertoire):
        remedy = (
            "a text in the database is none in its encoding (SQL_ASCII takes any bytes): correct the row, and move to a"
            " database of the encoding UTF8"
        )
    elif isinstance(error, (pg.StringDataRightTruncation, pg.NumericValueOutOfRange)):
        remedy = "widen the column (ALTER TABLE ... ALTER ... TYPE text, or numeric for a number)"
    else:
        remedy = "a type, a constraint or a trigger of the application does not allow it: change that, or the act"
    text = f"the database refuses it, nothing was changed: {found.message_primary}{where}{inside}; {remedy}"
    return " ".join(text.split())


def lock_experiment(connection: Connection, store: Store, key: str | UUID) -> ActContext:
    """Lock an experiment, given by name or id, and read it afresh.

    A change of the split that the database's triggers did not see (a restore, replication) is noted first, as a new
    phase, so that no act stands on a split that is not served any more. An act that is then refused takes the note
    back with everything else it wrote; the next sweep or hourly run notes the change on its own.

    Acts queue on an advisory lock. The rows themselves are taken without waiting, again and again: whoever waits for
    one row while it holds another can deadlock with an application that changes a split, in whatever order it does.

    Raises:
        NotFoundError: there is no such experiment.
        ConflictError: another transaction keeps its rows locked.
    """
    known = experiments_named(connection, [key])[0].id if isinstance(key, str) else key
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [str(known), ACT_LOCK])
    for _ in range(int(LOCK_SECONDS / RETRY_SECONDS)):
        if _took_rows(connection, known):
            break
        time.sleep(RETRY_SECONDS)
    else:
        raise ConflictError(BUSY)
    if unnoted_experiments(connection, [known]):
        note_experiment(connection, known)
    return _context(connection, store, known)


def read_experiment(connection: Connection, store: Store, key: str | UUID) -> ActContext:
    """The same without a lock, to say what an act would do.

    Raises:
        NotFoundError: there is no such experiment.
    """
    return _context(connection, store, experiments_named(connection, [key])[0].id if isinstance(key, str) else key)


def _context(connection: Connection, store: Store, known: UUID) -> ActContext:
    return ActContext(
        store=store,
        connection=connection,
        experiment=experiment_of(connection, known),
        variants=variants_of(connection, known),
        at=database_now(connection).astimezone(UTC),
        as_of=newest_complete_hour(connection).astimezone(UTC),
    )


def _took_rows(connection: Connection, experiment_id: UUID) -> bool:
    """Lock the experiment and its variants, or nothing if one of them is taken."""
    try:
        # A savepoint: if one row is taken, the locks got so far are released.
        with connection.transaction():
            connection.execute("SELECT 1 FROM ab_experiments WHERE id = %s FOR UPDATE NOWAIT", [experiment_id])
            connection.execute("SELECT 1 FROM ab_variants WHERE experiment_id = %s FOR UPDATE NOWAIT", [experiment_id])
    except pg.LockNotAvailable:
        return False
    return True
