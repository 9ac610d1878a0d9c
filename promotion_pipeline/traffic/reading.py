"""Asks targets what they serve: many at once, bounded in time, so that one that hangs delays nothing else.

Few questions at a time go to one system. One that does not answer is not asked for the other experiments that it
serves: they would wait as long, one after the other.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import PromotionError, TargetError
from promotion_pipeline.traffic.deliveries import Served
from promotion_pipeline.traffic.targets.configured import TrafficTarget, UnleashTarget, WebhookTarget
from promotion_pipeline.traffic.targets.port import NamedSplit, agrees
from promotion_pipeline.traffic.targets.registry import opened_target

log = logging.getLogger(__name__)

READ_SECONDS = 60.0
"""After that no more is asked or waited for; what was not read is the first of the next time."""
WORKERS = 16
AT_ONCE = 4
"""Questions to one system."""
SILENT_ANSWERS = 2
"""So often a system does not answer before it is left alone."""


@dataclass(frozen=True)
class Question:
    """One experiment whose target is asked."""

    experiment: Served
    wanted: NamedSplit
    """What should be served; percent by variant name."""

    @property
    def system(self) -> str:
        """What answers: those of one system share its fate."""
        return _system(self.experiment.target)


@dataclass(frozen=True)
class Reading:
    """What a target said."""

    split: dict[str, Decimal] | None = None
    """Percent by our variant's name; None: it was not read."""
    is_wanted: bool = False
    """Whether that is the wanted split, as near as the target can serve it."""
    where: str = ""
    """What and where it is, without a secret."""
    unit: Decimal = Decimal("0.01")
    """The finest share that it can serve, in percent."""
    changed_by: str | None = None
    """Who changed it last; asked only where it is not the wanted split."""
    unread: str | None = None
    """Why it was not read; None: it was, or it cannot be asked at all."""
    needs_a_person: bool = False
    """Waiting alone will not make it readable."""


def read_targets(
    questions: Sequence[Question], settings: Settings, seconds: float = READ_SECONDS
) -> dict[UUID, Reading]:
    """The answer to each question, by the experiment's id; in the order given as far as time allows.

    Returns after `seconds` at the latest, whatever the targets do.
    """
    asked = _Round(questions, settings, time.monotonic() + seconds)
    # Daemons: a target that hangs holds neither the answer nor the end of the process.
    workers = [threading.Thread(target=asked.work, daemon=True) for _ in range(min(WORKERS, len(questions)))]
    for worker in workers:
        worker.start()
    return asked.wait()


class _Round:
    """The questions of one call, and who is at them."""

    def __init__(self, questions: Sequence[Question], settings: Settings, deadline: float) -> None:
        self._settings, self._deadline = settings, deadline
        self._left: dict[str, deque[Question]] = defaultdict(deque)
        for question in questions:
            self._left[question.system].append(question)
        self._all = questions
        self._open: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._answers: queue.SimpleQueue[tuple[UUID, Reading]] = queue.SimpleQueue()

    def work(self) -> None:
        """Ask until nothing is left."""
        while (question := self._next()) is not None:
            silent = False
            try:
                reading = read_one(question, self._settings)
            except TargetError as error:
                silent = error.is_silent
                reading = Reading(unread=str(error), needs_a_person=error.needs_a_person)
            except PromotionError as error:
                reading = Reading(unread=str(error), needs_a_person=True)
            except Exception as error:
                log.exception("the target of experiment %s", question.experiment.id)
                reading = Reading(unread=f"it could not be read: {type(error).__name__}")
            self._done(question.system, silent=silent)
            self._answers.put((question.experiment.id, reading))

    def wait(self) -> dict[UUID, Reading]:
        """What is answered until the deadline, and why the rest is not."""
        found: dict[UUID, Reading] = {}
        while len(found) < len(self._all):
            try:
                key, reading = self._answers.get(timeout=max(self._deadline - time.monotonic(), 0.001))
            except queue.Empty:
                break
            found[key] = reading
        late = Reading(unread="not read in time: the targets answer slowly; it comes first the next time")
        return {one.experiment.id: found.get(one.experiment.id, late) for one in self._all}

    def _next(self) -> Question | None:
        with self._changed:
            while time.monotonic() < self._deadline:
                self._pass_over_silent_ones()
                if not self._left:
                    return None
                # The system with the fewest open questions, so that a slow one does not take all workers.
                free = [system for system in self._left if self._open[system] < AT_ONCE]
                if free:
                    system = min(free, key=lambda one: self._open[one])
                    question = self._left[system].popleft()
                    if not self._left[system]:
                        del self._left[system]
                    self._open[system] += 1
                    return question
                self._changed.wait(0.2)
        return None

    def _pass_over_silent_ones(self) -> None:
        for system in [one for one in self._left if self._silent[one] >= SILENT_ANSWERS]:
            said = Reading(unread=f"not asked: {system} did not answer for other experiments")
            for question in self._left.pop(system):
                self._answers.put((question.experiment.id, said))

    def _done(self, system: str, *, silent: bool) -> None:
        with self._changed:
            self._open[system] -= 1
            self._silent[system] = self._silent[system] + 1 if silent else 0
            self._changed.notify_all()


def read_one(question: Question, settings: Settings) -> Reading:
    """What one target serves.

    Raises:
        TargetError: it cannot be reached, refuses, or has not what the experiment names.
        ConfigError: `traffic_target` is none.
    """
    experiment = question.experiment
    names = list(experiment.names.values())
    with opened_target(experiment.target, settings, experiment.name, names, f"reading_{experiment.id}") as target:
        seen = target.read()
        if seen is None:
            return Reading(where=target.describe(), unit=target.unit)
        is_wanted = agrees(seen.split, question.wanted, target.unit)
        changed_by = None if is_wanted else target.changed_by()
        return Reading(seen.split, is_wanted, target.describe(), target.unit, changed_by)


def _system(target: TrafficTarget) -> str:
    match target:
        case UnleashTarget():
            return "Unleash"
        case WebhookTarget():
            return f"the webhook at {urlsplit(target.read_url or target.url).netloc.rpartition('@')[2]}"
    return target.kind
