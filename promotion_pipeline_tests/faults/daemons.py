"""Processes that do what a daemon's tick leads to."""

from __future__ import annotations

import os
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier

from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.record.faults import die_at
from promotion_pipeline.promotion.unattended.pending import apply_pending
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults import acts
from promotion_pipeline_tests.faults.acts import Answers
from promotion_pipeline_tests.faults.racers import BARRIER_SECONDS, Heard
from promotion_pipeline_tests.faults.subjects import Subject

DAGSTER = "_dagster"
"""What the name of a database's Dagster storage ends with."""


def plain_daemon(url: str, settings: Settings, barrier: Barrier, pipe: Pipe) -> None:
    """Apply the same list of pending acts as the other one, at the same time."""
    store = Store(url, settings)
    while (subjects := pipe.recv()) is not None:
        barrier.wait(BARRIER_SECONDS)
        pipe.send([_applied(store, subject) for subject in subjects])


def _applied(store: Store, subject: Subject) -> Heard:
    try:
        answers: Answers = acts.acknowledged(apply_pending(store, subject.id, f"daemon {os.getpid()}"), subject)
    except Exception as error:
        return Heard("tick", trouble=f"{subject.name}: {type(error).__name__}: {error}")
    return Heard("tick", answers)


def dagster_daemon(url: str, settings: Settings, barrier: Barrier, pipe: Pipe) -> None:
    """Ask the real sensor and run the real job, at the same time as the other one, or until a crash point.

    It hears the name of a crash point, at which it dies, or an empty text.
    """
    # Imported where it is needed: these imports cost seconds.
    from promotion_pipeline.orchestration.in_process import InProcess
    from promotion_pipeline.orchestration.instance import open_instance

    store = Store(url, settings)
    with open_instance(with_dagster(store)) as instance:
        graph = InProcess(instance, store, log_level="CRITICAL")
        pipe.send("ready")
        while (point := pipe.recv()) is not None:
            if point:
                die_at(point)
            else:
                barrier.wait(BARRIER_SECONDS)
            try:
                run = graph.tick_sensor()
            except Exception as error:
                pipe.send([Heard("tick", trouble=str(error))])
            else:
                pipe.send([Heard("tick", refusal="" if run is not None else "nothing waits")])


def with_dagster(store: Store) -> Store:
    """The same store, with Dagster's storage in a database of its own beside it."""
    head, _, tail = store.url.partition("?")
    settings = store.settings.model_copy(update={"dagster_database_url": SecretStr(f"{head}{DAGSTER}?{tail}")})
    return replace(store, settings=settings)
