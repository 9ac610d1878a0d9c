"""Brings a split to what serves it: read, compare with what we last saw, write only the weights, read back.

Every step is written down before or after it so that whoever comes next, after a crash at any point, goes on from what
the target says: an attempt is counted before anything is sent, and what is served already is not sent again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from uuid import UUID

import psycopg

from promotion_pipeline.config import Mode
from promotion_pipeline.errors import DependencyError, PromotionError, TargetError
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic import telling
from promotion_pipeline.traffic.deliveries import (
    Served,
    TrafficDelivery,
    TrafficState,
    claim,
    due_deliveries,
    keep_before,
    newest_delivery,
    object_of_before,
    served_experiment,
    settle,
)
from promotion_pipeline.traffic.targets.configured import kind_of
from promotion_pipeline.traffic.targets.port import NamedSplit, Seen, Target, agrees
from promotion_pipeline.traffic.targets.registry import missing_settings, opened_target

log = logging.getLogger(__name__)

ATTEMPTS = 20
WAIT_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0)
"""After the first attempt, the second, and so on: the twentieth is made after about an hour."""
PATIENCE_SECONDS = 30.0
"""How long the acting call waits for what it did to be served."""
TICK_SECONDS = 120.0
"""After that a tick begins no more attempts: those it did not come to are the first of the next one."""
LAST_START_SECONDS = 15.0
"""No attempt of the acting call begins later than that before its patience ends."""
DELIVERY_LOCK = 0x74726166666963
"""Seed of the advisory lock that one worker at a time holds while it delivers for an experiment."""

OnVerified = Callable[[Connection, TrafficDelivery], None]
"""What else is to be written, in the transaction that says that a split is served."""


def apply_deliveries(store: Store, on_verified: OnVerified) -> tuple[TrafficDelivery, ...]:
    """Try once everything that is due, and tell of what takes too long; one that fails delays no other.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        _forget_deleted(connection)
        due = due_deliveries(connection, store.settings)
    tried = []
    deadline = time.monotonic() + TICK_SECONDS
    for delivery in due:
        if time.monotonic() > deadline:
            break
        tried.append(_tried(store, delivery.experiment_id, on_verified))
    with store.connect() as connection, connection.transaction():
        telling.tell_of_late_ones(connection)
    return tuple(delivery for delivery in tried if delivery is not None)


def _tried(store: Store, experiment_id: UUID, on_verified: OnVerified) -> TrafficDelivery | None:
    try:
        return attempt(store, experiment_id, on_verified)
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        # A trigger or a constraint of the team's own, say: it concerns one experiment, and is tried again.
        log.exception("the traffic of experiment %s", experiment_id)
        return None


def deliver_now(
    store: Store, experiment_id: UUID, on_verified: OnVerified, patience_seconds: float = PATIENCE_SECONDS
) -> TrafficDelivery | None:
    """Try until the experiment's newest delivery is settled or patience ends; returns it as it is then.

    What is not served then is delivered by the next tick. None where the experiment has no delivery.

    Raises:
        DependencyError: the database is down.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        with store.connect() as connection:
            delivery = newest_delivery(connection, experiment_id)
        if delivery is None or not delivery.is_under_way or time.monotonic() > deadline:
            return delivery
        if store.settings.mode is Mode.SHADOW or missing_settings(delivery.target, store.settings):
            return delivery
        if time.monotonic() <= deadline - min(LAST_START_SECONDS, patience_seconds / 2):
            tried = attempt(store, experiment_id, on_verified)
            if tried is not None and not tried.is_under_way:
                return tried
        time.sleep(0.2)


def attempt(store: Store, experiment_id: UUID, on_verified: OnVerified) -> TrafficDelivery | None:
    """One attempt at an experiment's delivery; None where none is due, or another worker is at it.

    Raises:
        DependencyError: the database is down.
    """
    with _alone(store, experiment_id) as is_alone, store.connect() as connection:
        delivery = claim(connection, experiment_id, WAIT_SECONDS) if is_alone else None
        if delivery is None:
            return None
        worker = _Attempt(store, connection, delivery, on_verified)
        try:
            return worker.work()
        except TargetError as error:
            return worker.trouble(str(error), error)
        except (psycopg.Error, DependencyError):
            raise
        except PromotionError as error:
            return worker.trouble(str(error), TargetError(str(error), needs_a_person=True))
        except Exception as error:
            log.exception("delivery %s failed", delivery.id)
            return worker.trouble(f"the delivery failed: {type(error).__name__}", None)


@contextlib.contextmanager
def _alone(store: Store, experiment_id: UUID) -> Iterator[bool]:
    """Whether nobody else delivers for the experiment while the context lasts.

    The lock is a transaction's, on a connection of its own: it ends with the process, also behind a pooler that
    hands connections on after each transaction. No row is locked, so that an act never waits for a target.
    """
    with store.connect() as guard, guard.transaction():
        row = guard.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s)) AS it", [str(experiment_id), DELIVERY_LOCK]
        ).fetchone()
        yield row is not None and bool(row["it"])


class _Attempt:
    """One attempt at one delivery."""

    def __init__(
        self, store: Store, connection: Connection, delivery: TrafficDelivery, on_verified: OnVerified
    ) -> None:
        self._store, self._connection = store, connection
        self._delivery, self._on_verified = delivery, on_verified
        self._experiment: Served | None = None

    def work(self) -> TrafficDelivery | None:
        """Read, and if what is there may be overwritten, write and read back."""
        self._experiment = experiment = served_experiment(self._connection, self._delivery.experiment_id)
        configured = experiment.target
        if kind_of(configured) != self._delivery.target:
            raise TargetError(
                f"traffic_target of {experiment.name!r} is of the kind {configured.kind} now, and was"
                f" {self._delivery.target} at the act: put it back, or act again",
                needs_a_person=True,
            )
        message_id = f"traffic_{self._delivery.id}"
        names = list(experiment.names.values())
        with opened_target(configured, self._store.settings, experiment.name, names, message_id) as target:
            seen = target.read()
            if seen is not None and self._is_served(seen.split, target):
                return self._verified(seen.split)
            if seen is not None and not self._may_overwrite(seen.split, target):
                return self._conflict(seen.split, target)
            if self._delivery.state is TrafficState.APPLIED and seen is not None:
                raise TargetError(f"{target.describe()} took the split, and still serves the one of before")
            return self._write(target, seen)

    def _write(self, target: Target, seen: Seen | None) -> TrafficDelivery | None:
        if not keep_before(self._connection, self._delivery, None if seen is None else seen.whole):
            return None
        like = object_of_before(self._connection, self._delivery)
        answered = target.write(seen, self._named(self._delivery.wanted), like=like)
        # From here on what was served before may be an answer of a copy that lags, and is not written again.
        before = None if seen is None else self._by_id(seen.split)
        applied = settle(self._connection, self._delivery, TrafficState.APPLIED, before=before)
        if applied is None:
            return None
        self._delivery = applied
        back = answered if answered is not None else target.read()
        if back is None or self._is_served(back.split, target):
            return self._verified(self._named(self._delivery.wanted) if back is None else back.split)
        if not self._may_overwrite(back.split, target):
            return self._conflict(back.split, target)
        return settle(self._connection, applied, TrafficState.APPLIED, served=self._by_id(back.split))

    def trouble(self, said: str, error: TargetError | None) -> TrafficDelivery | None:
        """Try again later; after the last attempt a person is told at once."""
        is_last = self._delivery.attempts >= ATTEMPTS
        with self._connection.transaction():
            state = TrafficState.FAILED if is_last else self._delivery.state
            wait = None if error is None else error.retry_after_seconds
            settled = settle(self._connection, self._delivery, state, error=said, wait_seconds=wait)
            if settled is not None and (is_last or (error is not None and error.needs_a_person)):
                telling.tell_of_trouble(self._connection, settled, self._name, said, is_last=is_last)
        return settled

    def _verified(self, split: NamedSplit) -> TrafficDelivery | None:
        with self._connection.transaction():
            settled = settle(self._connection, self._delivery, TrafficState.VERIFIED, served=self._by_id(split))
            if settled is not None:
                telling.tell_of_served(self._connection, settled, self._name, self._named(settled.wanted))
                self._on_verified(self._connection, settled)
        return settled

    def _conflict(self, split: NamedSplit, target: Target) -> TrafficDelivery | None:
        by = target.changed_by()
        wanted = self._named(self._delivery.wanted)
        with self._connection.transaction():
            said = telling.conflict_sentence(target.describe(), split, wanted, by)
            served = self._by_id(split)
            settled = settle(self._connection, self._delivery, TrafficState.CONFLICTED, served=served, error=said)
            if settled is not None:
                telling.tell_of_conflict(self._connection, settled, self._name, said)
        return settled

    def _is_served(self, split: NamedSplit, target: Target) -> bool:
        return agrees(split, self._named(self._delivery.wanted), target.unit)

    def _may_overwrite(self, split: NamedSplit, target: Target) -> bool:
        expected = self._delivery.expected
        return expected is None or any(agrees(split, self._named(one), target.unit) for one in expected)

    @property
    def _name(self) -> str:
        return "?" if self._experiment is None else self._experiment.name

    def _named(self, split: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """By variant name; what nobody has a name for any more, and gets nothing, is left out."""
        assert self._experiment is not None
        names = self._experiment.names
        return {names.get(key, key): share for key, share in split.items() if key in names or share}

    def _by_id(self, split: NamedSplit) -> dict[str, Decimal]:
        """By variant id; a name that is none of ours stays."""
        assert self._experiment is not None
        ids = {name: key for key, name in self._experiment.names.items()}
        return {ids.get(name, name): share for name, share in split.items()}


def _forget_deleted(connection: Connection) -> None:
    """What was on its way for an experiment that was deleted goes nowhere, and its buckets with it."""
    connection.execute(
        "UPDATE traffic_deliveries SET state = 'superseded', error = 'the experiment was deleted'"
        " WHERE state IN ('pending', 'applied')"
        " AND NOT EXISTS (SELECT 1 FROM ab_experiments e WHERE e.id = experiment_id)"
    )
    connection.execute(
        "DELETE FROM served_traffic s WHERE NOT EXISTS (SELECT 1 FROM ab_experiments e WHERE e.id = s.experiment_id)"
    )
    connection.execute(
        "DELETE FROM traffic_allocations WHERE NOT EXISTS (SELECT 1 FROM ab_experiments e WHERE e.id = experiment_id)"
    )
