"""Processes that act at once: each holds several threads, all start together, each says what it was told."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import Any

import httpx2

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConflictError, NotEligibleError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults import acts
from promotion_pipeline_tests.faults.acts import Acknowledged, Answers
from promotion_pipeline_tests.faults.http import Door, serving
from promotion_pipeline_tests.faults.subjects import Subject
from promotion_pipeline_tests.faults.worker import PROCESSES

BARRIER_SECONDS = 120
REFUSED = (ConflictError, NotEligibleError)
Run = Callable[[Store, Door, Subject], Answers]


@dataclass(frozen=True)
class Heard:
    """What one racer was told; `refusal` is the code of a clear no, `trouble` anything else."""

    move: str
    answers: Answers = ()
    refusal: str = ""
    trouble: str = ""


def _sensor(store: Store, door: Door, subject: Subject) -> Answers:
    """What a tick leads to: ask what waits, then do all of it."""
    waiting = pending_promotions(store)
    return tuple(
        Acknowledged(found.action, act.experiment_id, found.promotion_id)
        for act in waiting
        for found in acts.acknowledged(apply_pending(store, act.experiment_id, "sensor"), subject)
    )


def _sweep(store: Store, door: Door, subject: Subject) -> Answers:
    """What cron asks for."""
    found = auto_check_promotions("cron", store=store)
    mine = [entry for entry in found.results if entry.experiment_name == subject.name]
    return tuple(answer for entry in mine for answer in acts.acknowledged(entry, subject))


def _unattended(store: Store, door: Door, subject: Subject) -> Answers:
    promotion = promote_winner(subject.name, "auto", "cron", store=store)
    return (Acknowledged(Action.PROMOTE, subject.id, promotion.id),)


def _by_hand(do: acts.Do) -> Run:
    return lambda store, door, subject: do(store, subject)


def _over_http(act: str, **body: object) -> Run:
    def post(store: Store, door: Door, subject: Subject) -> Answers:
        reply = door.post(subject, act, body)
        if reply.status == 409:
            raise ConflictError(reply.said)
        assert reply.status == 200, f"HTTP {act}: {reply.status} {reply.said}"
        return reply.answers

    return post


MOVES: dict[str, Run] = {
    "sensor": _sensor,
    "apply": _by_hand(acts.apply),
    "sweep": _sweep,
    "promote": _by_hand(acts.promote),
    "promote unattended": _unattended,
    "promote over HTTP": _over_http("promote"),
    "approve": _by_hand(acts.approve),
    "approve over HTTP": _over_http("approve"),
    "decline": _by_hand(acts.decline),
    "ramp": _by_hand(acts.ramp),
    "ramp over HTTP": _over_http("advance", toPercent=80),
    "watch": _by_hand(acts.watch),
    "roll back": _by_hand(acts.roll_back),
    "roll back over HTTP": _over_http("rollback", reason="errors"),
    "to control": _by_hand(acts.roll_back_to_control),
    "close": _by_hand(acts.close),
    "lift a hold": _by_hand(acts.release),
}


def race(
    url: str, settings: Settings, address: str, headers: dict[str, str], barrier: Barrier, moves: int, pipe: Pipe
) -> None:
    """A process of racers: for each round hear (subject, moves), wait for all the others, act, tell."""
    store = Store(url, settings)
    with httpx2.Client(base_url=address, headers=headers, timeout=120) as client, ThreadPoolExecutor(moves) as pool:
        door = Door(client)
        while (told := pipe.recv()) is not None:
            subject, chosen = told
            pipe.send(list(pool.map(partial(_move, store, door, subject, barrier), chosen)))


def _move(store: Store, door: Door, subject: Subject, barrier: Barrier, move: str) -> Heard:
    barrier.wait(BARRIER_SECONDS)
    try:
        return Heard(move, answers=MOVES[move](store, door, subject))
    except REFUSED as error:
        return Heard(move, refusal=error.code)
    except Exception as error:
        return Heard(move, trouble=f"{type(error).__name__}: {error}")


def serve(url: str, settings: Settings, pipe: Pipe) -> None:
    """The HTTP door in a process of its own, until told to stop."""
    logging.getLogger("promotion_pipeline").setLevel(logging.CRITICAL)
    with serving(Store(url, settings)) as address:
        pipe.send(address)
        pipe.recv()


@contextlib.contextmanager
def a_process(target: Callable[..., None], *arguments: Any) -> Iterator[Pipe]:
    """A process that talks over a pipe, its last argument; told to stop with None, and gone afterwards."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        with ours:
            yield ours
            with contextlib.suppress(BrokenPipeError):
                ours.send(None)
            process.join(30)
    finally:
        process.kill()
        process.join()
