"""PostgreSQL stopped at once (`pg_ctl stop -m immediate`) while people and ticks act; it recovers by itself."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from promotion_pipeline.errors import ConflictError, DependencyError
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.faults.acts import Answers, Do, apply, or_conflict, promote, release, roll_back
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Setting, Subject
from promotion_pipeline_tests.faults.tally import Tally

HANDS = 6
"""Threads that act at once."""
A_STOP_NEEDS = 30
"""Experiments that are used up between two stops, at most."""
CLEAR_OF_THE_HOUR_SECONDS = 60.0
COURSES: tuple[tuple[Do, ...], ...] = (
    (promote, roll_back, release),
    (apply, roll_back),
    (promote,),
    (apply, roll_back, release),
)


def stop_the_server(home: Path, rng: random.Random, stops: int) -> Tally:
    """Stop a server of its own `stops` times under load; it waits for the disk, as in production."""
    tally = Tally("outages", "immediate stops")
    with EmbeddedServer(home) as server, CampaignServer(server).database() as database:
        for number in range(stops):
            database.keep_clear_of_the_hour(CLEAR_OF_THE_HOUR_SECONDS)
            subjects = database.subjects(Setting.DECIDED, A_STOP_NEEDS)
            with _Load(database, subjects, tally).running() as load:
                # Once some are under way, at an instant that nobody chose.
                load.wait_for(rng.randint(2, A_STOP_NEEDS - HANDS))
                time.sleep(rng.uniform(0, 0.2))
                _stop_at_once(home)
                tally.done += 1
                with database.store.connect():
                    tally.check(database.store, when=f"after stop {number + 1}, still under load")
            tally.extra["acts begun again because of a stop"] += load.interrupted
            tally.extra["experiments under load"] += len(subjects)
            tally.check(database.store, when=f"after stop {number + 1} and all that was under way")
            _check_finished(tally, database, subjects, number)
    return tally.finish()


def _stop_at_once(home: Path) -> None:
    """SIGQUIT to the postmaster of this home: every process of it ends where it is, nothing is written down."""
    postmaster = int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGQUIT)
    while _exists(postmaster):
        time.sleep(0.005)


def _exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@dataclass
class _Load:
    """Threads that take every subject through a course of acts, whatever happens to the server."""

    database: CampaignDatabase
    subjects: list[Subject]
    tally: Tally
    interrupted: int = 0
    _waiting: queue.Queue[tuple[Subject, tuple[Do, ...]]] = field(default_factory=queue.Queue)
    _begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self) -> Iterator[_Load]:
        """Begin, and wait for the last act at the end."""
        for number, subject in enumerate(self.subjects):
            self._waiting.put((subject, COURSES[number % len(COURSES)]))
        hands = [threading.Thread(target=self._work) for _ in range(HANDS)]
        for hand in hands:
            hand.start()
        try:
            yield self
        finally:
            for hand in hands:
                hand.join()

    def wait_for(self, count: int) -> None:
        """Until that many experiments are under way."""
        for _ in range(count):
            self._begun.acquire()

    def _work(self) -> None:
        while True:
            try:
                subject, course = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._begun.release()
            for do in course:
                self._until_answered(do, subject)

    def _until_answered(self, do: Do, subject: Subject) -> None:
        """What a caller does: try again while the database is away; a conflict says that it is done already."""
        while True:
            try:
                answers: Answers = do(self.database.store, subject)
            except DependencyError:
                with self._lock:
                    self.interrupted += 1
                time.sleep(0.05)
                continue
            except ConflictError:
                return
            except Exception as error:
                with self._lock:
                    self.tally.unexpected.append(f"{subject.name}: {type(error).__name__}: {error}")
                return
            with self._lock:
                self.tally.note(answers)
            return


def _check_finished(tally: Tally, database: CampaignDatabase, subjects: list[Subject], number: int) -> None:
    """Every course came to its end: doing the last act again changes nothing."""
    store: Store = database.store
    for index, subject in enumerate(subjects):
        course = COURSES[index % len(COURSES)]
        answers = or_conflict(course[-1])(store, subject)
        if answers:
            tally.inconsistent.append(f"stop {number + 1}: {subject.name}: {answers[0].action.value} was not done")
