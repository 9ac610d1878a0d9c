"""Checks that arrive together are evaluated together: fifty experiments cost hardly more than one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.record.inputs import experiment_name_of
from promotion_pipeline.promotion.record.models import PromotionEligibility
from promotion_pipeline.store.database import Store

_Question = tuple[str, datetime | None]
"""The thresholds of the request, and the instant to look from."""


@dataclass
class _Ticket:
    """One check that waits; `answer` is None until an evaluation gave it."""

    name: str
    answer: PromotionEligibility | None = None


@dataclass
class _Group:
    """The checks that ask with the same thresholds and as-of, so that one evaluation can answer them all."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by the thread that evaluates; meanwhile the next batch gathers in `waiting`."""
    waiting: list[_Ticket] = field(default_factory=list)
    members: int = 0
    """Threads that are in here; without any, the group is forgotten."""


class CheckBatcher:
    """Answers checks in batches: the first thread that is free to evaluate does it for all that wait by then.

    A check is answered by an evaluation that began after it was asked. Nothing is kept from one batch to the next.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: dict[_Question, _Group] = {}
        self._lock = threading.Lock()

    def check(self, name: str, config: PromotionConfig | None, as_of: datetime | None) -> PromotionEligibility:
        """The same as `check_promotion_eligibility`.

        Raises:
            NotFoundError, InputError, ConfigError, DependencyError: as `check_promotion_eligibility`.
        """
        ticket = _Ticket(experiment_name_of(name))
        if not self._exists(name):
            return check_promotion_eligibility(name, config, as_of=as_of, store=self._store)
        thresholds = "" if config is None else config.model_dump_json(exclude_unset=True)
        with self._group((thresholds, as_of)) as group:
            with self._lock:
                group.waiting.append(ticket)
            with group.turn:
                if ticket.answer is None:
                    self._evaluate(group, config, as_of)
        if ticket.answer is None:
            # The common evaluation failed, maybe because of another experiment in it. Evaluated alone, this one
            # gets its answer, or the error that is its own.
            return check_promotion_eligibility(name, config, as_of=as_of, store=self._store)
        return ticket.answer

    def _exists(self, name: str) -> bool:
        with self._store.connect() as connection:
            return connection.execute("SELECT 1 FROM ab_experiments WHERE name = %s", [name]).fetchone() is not None

    @contextlib.contextmanager
    def _group(self, question: _Question) -> Iterator[_Group]:
        with self._lock:
            group = self._groups.setdefault(question, _Group())
            group.members += 1
        try:
            yield group
        finally:
            with self._lock:
                group.members -= 1
                if group.members == 0:
                    del self._groups[question]

    def _evaluate(self, group: _Group, config: PromotionConfig | None, as_of: datetime | None) -> None:
        with self._lock:
            tickets, group.waiting = group.waiting, []
        names = sorted({ticket.name for ticket in tickets})
        with contextlib.suppress(PromotionError):
            answers = {found.experiment_name: found for found in assess(self._store, names, config, as_of)}
            for ticket in tickets:
                ticket.answer = answers.get(ticket.name)
