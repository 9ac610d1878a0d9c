"""Two daemons: the same tick twice, at once, in two processes; and a daemon killed in the middle of its run."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe

from psycopg import sql

from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.faults import FaultPoint
from promotion_pipeline.promotion.unattended.pending import CLAIM_SECONDS
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline_tests.faults.daemons import DAGSTER, dagster_daemon, plain_daemon
from promotion_pipeline_tests.faults.racers import a_process
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Setting, Subject
from promotion_pipeline_tests.faults.tally import Tally
from promotion_pipeline_tests.faults.worker import PROCESSES

CLEAR_OF_THE_HOUR_SECONDS = 60.0
PROMOTED = {Action.PROMOTE: 1}
EFFECTS = {
    Setting.DECIDED: PROMOTED,
    Setting.UNPROVEN: {Action.REQUEST_APPROVAL: 1},
    Setting.RAMPING: {**PROMOTED, Action.RAMP: 1},
}
"""One of each waits in every tick."""
DYING = (FaultPoint.ATTEMPT_BEGUN, FaultPoint.TRAFFIC_SET, FaultPoint.BEFORE_COMMIT, FaultPoint.ATTEMPT_UNFINISHED)


def tick_twice(host: CampaignServer, rng: random.Random, ticks: int) -> Tally:
    """The same pending acts, applied by two processes at once, in the same order or another."""
    tally = Tally("ticks", "ticks run twice")
    with host.database() as database, _pair(database, plain_daemon) as pipes:
        for number in range(ticks):
            subjects = _waiting(database)
            for pipe in pipes:
                pipe.send(subjects if number % 2 else rng.sample(subjects, len(subjects)))
            _hear(tally, pipes)
            _check(tally, database, subjects, f"tick {number + 1}")
        tally.check(database.store, when="after all ticks")
    return tally.finish()


def tick_two_daemons(host: CampaignServer, rng: random.Random, ticks: int, killed: int) -> Tally:
    """Sensor and apply job of two Dagster processes on one instance; then runs whose process is killed."""
    tally = Tally("daemons", "ticks of two daemons")
    with host.database() as database, _instance(database), _pair(database, dagster_daemon) as pipes:
        for pipe in pipes:
            pipe.recv()
        for number in range(ticks):
            subjects = _waiting(database)
            _tick(tally, pipes)
            _check(tally, database, subjects, f"tick {number + 1} of two daemons")
        for number in range(killed):
            point, subjects = DYING[number % len(DYING)], _waiting(database)
            _die_in_run(tally, database, point)
            tally.check(database.store, [s.id for s in subjects], when=f"a daemon killed at {point.value}")
            _let_claims_run_out(database)
            _tick(tally, pipes)
            _check(tally, database, subjects, f"the tick after one killed at {point.value}")
        tally.check(database.store, when="after all ticks of two daemons")
    return tally.finish()


def _waiting(database: CampaignDatabase) -> list[Subject]:
    database.keep_clear_of_the_hour(CLEAR_OF_THE_HOUR_SECONDS)
    return [subject for setting in EFFECTS for subject in database.subjects(setting, 1)]


@contextlib.contextmanager
def _pair(database: CampaignDatabase, daemon: Callable[..., None]) -> Iterator[list[Pipe]]:
    barrier = PROCESSES.Barrier(2)
    with contextlib.ExitStack() as stack:
        arguments = (database.store.url, database.store.settings, barrier)
        yield [stack.enter_context(a_process(daemon, *arguments)) for _ in range(2)]


def _tick(tally: Tally, pipes: Sequence[Pipe]) -> None:
    for pipe in pipes:
        pipe.send("")
    _hear(tally, pipes)


def _hear(tally: Tally, pipes: Sequence[Pipe]) -> None:
    tally.done += 1
    for found in [found for pipe in pipes for found in pipe.recv()]:
        tally.note(found.answers)
        if found.trouble:
            tally.unexpected.append(found.trouble)


def _check(tally: Tally, database: CampaignDatabase, subjects: Sequence[Subject], when: str) -> None:
    for subject in subjects:
        tally.check(database.store, [subject.id], when=when, effect=EFFECTS[subject.setting])


def _die_in_run(tally: Tally, database: CampaignDatabase, point: FaultPoint) -> None:
    """A third daemon begins the tick and is killed in it."""
    with a_process(dagster_daemon, database.store.url, database.store.settings, PROCESSES.Barrier(1)) as pipe:
        pipe.recv()
        pipe.send(point.value)
        try:
            tally.unexpected.append(f"a daemon lived through {point.value}: {pipe.recv()}")
        except EOFError:
            tally.extra["runs killed under Dagster"] += 1


def _let_claims_run_out(database: CampaignDatabase) -> None:
    with database.store.connect() as connection:
        connection.execute(
            "UPDATE promotion_attempts SET started_at = started_at - %s * interval '1 second'"
            " WHERE finished_at IS NULL",
            [CLAIM_SECONDS + 1],
        )


@contextlib.contextmanager
def _instance(database: CampaignDatabase) -> Iterator[None]:
    """Dagster's tables, in a database of their own."""
    from promotion_pipeline.orchestration.instance import open_instance
    from promotion_pipeline_tests.faults.daemons import with_dagster

    server = database.store.server
    assert server is not None
    admin = server.url("postgres")
    with connect(database.store.url) as connection:
        name = f"{connection.info.dbname}{DAGSTER}"
    create_database(admin, name)
    try:
        with open_instance(with_dagster(database.store)) as instance:
            assert instance.get_runs_count() == 0
        yield
    finally:
        with connect(admin) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
