"""32 at once at one experiment: sensor, sweep, Python, HTTP and rollback. One promotion, and everybody is told so."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Sequence

from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline_tests.faults.http import operator_headers
from promotion_pipeline_tests.faults.invariants import State
from promotion_pipeline_tests.faults.racers import Heard, a_process, race, serve
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Setting, Subject
from promotion_pipeline_tests.faults.tally import Tally
from promotion_pipeline_tests.faults.worker import PROCESSES

RACERS = 32
PROCESS_COUNT = 4
CLEAR_OF_THE_HOUR_SECONDS = 60.0
COUNTED = (Action.PROMOTE, Action.RAMP, Action.ROLL_BACK, Action.DECLINE, Action.RELEASE_HOLD)
"""Acts of which every one is acknowledged to exactly one racer, since no connection is cut here."""

ALREADY_PROMOTED = (Setting.PROMOTED, Setting.RAMPING, Setting.BREACHED)
BACK = ["roll back", "roll back over HTTP", "to control"]
PROMOTING = ["sensor", "sensor", "apply", "sweep", "promote", "promote unattended", "promote over HTTP"]
ROUNDS: tuple[tuple[Setting, list[str]], ...] = (
    (Setting.DECIDED, [*PROMOTING, *BACK]),
    (Setting.DECIDED, [*PROMOTING, "lift a hold", *BACK]),
    (Setting.UNPROVEN, [*PROMOTING, "approve", "approve over HTTP", "decline", *BACK]),
    (Setting.ASKED, ["sensor", "apply", "approve", "approve over HTTP", "decline", *BACK]),
    (Setting.RAMPING, ["sensor", "apply", "ramp", "ramp over HTTP", "promote", *BACK]),
    (Setting.BREACHED, ["sensor", "watch", "watch", "ramp", *BACK]),
    (Setting.PROMOTED, [*PROMOTING, *BACK, "close", "lift a hold"]),
)


def race_rounds(host: CampaignServer, rng: random.Random, rounds: int) -> Tally:
    """Rounds of 32 racers on one experiment each, in processes of several threads and over HTTP."""
    tally = Tally("races", "race rounds")
    with host.database() as database, contextlib.ExitStack() as stack:
        store = database.store
        address = stack.enter_context(a_process(serve, store.url, store.settings)).recv()
        barrier, headers = PROCESSES.Barrier(RACERS), operator_headers(store)
        each = RACERS // PROCESS_COUNT
        arguments = (store.url, store.settings, address, headers, barrier, each)
        pipes = [stack.enter_context(a_process(race, *arguments)) for _ in range(PROCESS_COUNT)]
        for number in range(rounds):
            setting, moves = ROUNDS[number % len(ROUNDS)]
            database.keep_clear_of_the_hour(CLEAR_OF_THE_HOUR_SECONDS)
            # Others that earlier rounds left are there, too: the sensor and the sweep look at them.
            subject = database.subjects(setting, 1)[0]
            chosen = [[rng.choice(moves) for _ in range(each)] for _ in pipes]
            for pipe, some in zip(pipes, chosen, strict=True):
                pipe.send((subject, some))
            heard = [found for pipe in pipes for found in pipe.recv()]
            _judge(tally, database, subject, heard, f"round {number + 1} ({setting.value})")
        tally.check(store, when="after all races")
    return tally.finish()


def _judge(tally: Tally, database: CampaignDatabase, subject: Subject, heard: Sequence[Heard], name: str) -> None:
    tally.done += 1
    tally.extra["acts at 32 at once"] += len(heard)
    tally.extra["of them done"] += sum(bool(found.answers) for found in heard)
    tally.extra["of them refused clearly"] += sum(bool(found.refusal) for found in heard)
    tally.extra["of them found it done"] += sum(not (f.answers or f.refusal or f.trouble) for f in heard)
    tally.unexpected += [f"{name}: {found.move}: {found.trouble}" for found in heard if found.trouble]
    for found in heard:
        tally.note(found.answers)
    state = tally.check(database.store, [subject.id], when=name)[0]
    _hold_answers_against(tally, state, subject, heard, name)


def _hold_answers_against(tally: Tally, state: State, subject: Subject, heard: Sequence[Heard], name: str) -> None:
    """As many racers were told that they did it as it was done."""
    told = Counter(a.action for found in heard for a in found.answers if a.experiment_id == subject.id)
    prepared = Counter({Action.PROMOTE: int(subject.setting in ALREADY_PROMOTED)})
    done = state.acts()
    for action in COUNTED:
        times = done[action] - prepared[action]
        if told[action] > times:
            tally.lost.append(f"{name}: {told[action]} were told that they did {action.value}, done {times} times")
        elif told[action] < times:
            tally.doubles.append(f"{name}: {action.value} was done {times} times, {told[action]} were told so")
