"""What runs in the process that is killed: importable there, and forked from one that has done the imports."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection as Pipe
from typing import Any

import psycopg
from psycopg.rows import DictRow

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.record.faults import FaultPoint, die_at
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.faults.acts import BY_NAME, Answers
from promotion_pipeline_tests.faults.subjects import Subject

PROCESSES = multiprocessing.get_context("forkserver")
# Real processes cost seconds of imports each otherwise.
PROCESSES.set_forkserver_preload(["promotion_pipeline_tests.faults.worker"])


class Moment(StrEnum):
    """When the process dies."""

    POINT = "point"
    """At a crash point that the code names."""
    SENT = "sent"
    """After a message to the database was sent, before its answer is read."""
    ANY = "any"
    """When the parent kills it."""
    NEVER = "never"
    """It lives."""


@dataclass(frozen=True)
class Fate:
    """How a worker ends."""

    moment: Moment
    point: FaultPoint | None = None
    trip: int = 0
    """Which message to the database, counted from 1 over all connections of the act."""

    def __str__(self) -> str:
        """As a report names it."""
        if self.point is not None:
            return f"at {self.point.value}"
        return f"with message {self.trip} sent" if self.trip else f"at {self.moment.value} moment"


class _Trips:
    """Counts the messages of this process, and dies at one of them."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.made = 0

    def watched(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same steps, with a death after the message was sent: they yield first when they wait for the answer.

        Steps that never yield send nothing.
        """
        try:
            state = next(steps)
            self.made += 1
            if self.made == self.fate.trip:
                die()
            while True:
                state = steps.send((yield state))
        except StopIteration as end:
            return end.value


_trips = _Trips(Fate(Moment.NEVER))


class CountedConnection(psycopg.Connection[DictRow]):
    """A connection whose messages are counted."""

    def wait(self, gen: Any, *rest: Any) -> Any:
        """Every message to the database goes through here."""
        return super().wait(_trips.watched(gen), *rest)


@dataclass(frozen=True)
class CountedStore(Store):
    """A store of counted connections."""

    def open_connection(self) -> Connection:
        """One that is counted."""
        return connect(self.url, CountedConnection)


def die() -> None:
    """Like kill -9: nothing is flushed, closed or told."""
    os.kill(os.getpid(), signal.SIGKILL)


def perform(url: str, settings: Settings, act: str, subject: Subject, fate: Fate, pipe: Pipe) -> None:
    """Do one act and meet one's fate; tells what was acknowledged and how many messages it took."""
    _trips.__init__(fate)  # type: ignore[misc]
    if fate.point is not None:
        die_at(fate.point)
    pipe.send("begun")
    answers = BY_NAME[act].do(CountedStore(url, settings), subject)
    pipe.send((answers, _trips.made))


@dataclass(frozen=True)
class Ended:
    """What became of a worker."""

    was_killed: bool
    seconds: float
    """From the begin of the act."""
    answers: Answers = ()
    trips: int = 0


def run_worker(store: Store, act: str, subject: Subject, fate: Fate, *, kill_after: float | None = None) -> Ended:
    """Start a worker on one act and wait for its end; `kill_after`: seconds after which this process kills it."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=perform, args=(store.url, store.settings, act, subject, fate, theirs))
    process.start()
    theirs.close()
    said: list[Any] = []
    begin = time.perf_counter()
    with ours, contextlib.suppress(EOFError):
        said.append(ours.recv())
        begin = time.perf_counter()
        if kill_after is not None and not ours.poll(kill_after):
            process.kill()
        said.append(ours.recv())
    seconds = time.perf_counter() - begin
    process.join()
    answers, trips = said[1] if len(said) > 1 else ((), 0)
    return Ended(process.exitcode == -signal.SIGKILL, seconds, answers, trips)
