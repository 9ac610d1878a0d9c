"""The acknowledgement of COMMIT lost: was it done? Whoever repeats the act is told, and it is not done twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults.acts import ACTS, ASKED, BACK, PROMOTED, Act
from promotion_pipeline_tests.faults.http import Door, Reply, open_door
from promotion_pipeline_tests.faults.proxy import Cut, Proxy
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Setting, Subject
from promotion_pipeline_tests.faults.tally import Tally

CLEAR_OF_THE_HOUR_SECONDS = 15.0
LOST = (Cut.ANSWER, Cut.AT_ONCE)
DOWN, DONE, CONFLICT = 503, 200, 409


@dataclass(frozen=True)
class Request:
    """One act over HTTP, sent twice.

    `first` is the status of the one whose COMMIT is lost, `second` that of its repetition.
    """

    act: str
    setting: Setting
    effect: Mapping[Action, int]
    second: int
    has_key: bool = True
    first: int = DOWN
    commit: int = 1
    body: Mapping[str, object] = field(default_factory=dict)


WHY = {"reason": "errors"}
NEXT = {"toPercent": 80}
RAMPED = {**PROMOTED, Action.RAMP: 1}
APPROVED = {**ASKED, Action.APPROVE: 1, **PROMOTED}
REQUESTS = (
    Request("promote", Setting.DECIDED, PROMOTED, DONE),
    Request("promote", Setting.DECIDED, PROMOTED, CONFLICT, has_key=False),
    Request("approve", Setting.ASKED, APPROVED, DONE),
    Request("approve", Setting.ASKED, APPROVED, CONFLICT, has_key=False),
    Request("rollback", Setting.PROMOTED, BACK, DONE, body=WHY),
    Request("rollback", Setting.PROMOTED, BACK, CONFLICT, has_key=False, body=WHY),
    Request("advance", Setting.RAMPING, RAMPED, DONE, body=NEXT),
    Request("advance", Setting.RAMPING, RAMPED, CONFLICT, has_key=False, body=NEXT),
    # The second COMMIT of a request with a key is that of its stored answer: the act itself was answered.
    Request("promote", Setting.DECIDED, PROMOTED, DONE, first=DONE, commit=2),
    Request("rollback", Setting.PROMOTED, BACK, DONE, first=DONE, commit=2, body=WHY),
)


def lose_answers(host: CampaignServer, rng: random.Random, losses: int, never_arrived: int) -> Tally:
    """`losses` answers to COMMIT lost, over every act and door; and `never_arrived` COMMITs that were not made."""
    tally = Tally("lost acknowledgements", "lost acknowledgements")
    cases: list[Act | Request] = [*ACTS, *REQUESTS]
    lost = rng.sample(pairs := list(itertools.product(cases, LOST)), len(pairs))
    unmade = [(case, Cut.REQUEST) for case in rng.sample(cases, len(cases))]
    plan = [*_as_many(lost, losses), *_as_many(unmade, never_arrived)]
    with host.database() as database, Proxy(database.store.url) as proxy:
        cut_off = Store(proxy.url, database.store.settings)
        with open_door(database.store, cut_off) as door:
            campaign = _Campaign(database, proxy, cut_off, door, tally)
            for case, cut in plan:
                campaign.run(case, cut)
        tally.check(database.store, when="after all lost answers")
    return tally.finish()


_Item = TypeVar("_Item")


def _as_many(items: Sequence[_Item], count: int) -> Iterator[_Item]:
    return itertools.islice(itertools.cycle(items), count)


@dataclass
class _Campaign:
    database: CampaignDatabase
    proxy: Proxy
    cut_off: Store
    door: Door
    tally: Tally
    _keys: Iterator[int] = field(default_factory=itertools.count)

    def run(self, case: Act | Request, cut: Cut) -> None:
        """One act whose COMMIT is cut, and its repetition."""
        self.database.keep_clear_of_the_hour(CLEAR_OF_THE_HOUR_SECONDS)
        subject, before = self.database.subjects(case.setting, 1)[0], self.proxy.cuts
        name = f"{case.name if isinstance(case, Act) else f'HTTP {case.act}'!r}, COMMIT cut: {cut.value}"
        if isinstance(case, Act):
            self._act(case, subject, cut, name)
        else:
            self._request(case, subject, cut, name)
        if self.proxy.cuts != before + 1:
            self.tally.unexpected.append(f"{name}: no COMMIT came by")
        self.proxy.disarm()
        if cut in LOST:
            self.tally.done += 1
        else:
            self.tally.extra["COMMITs that never arrived"] += 1
        self.tally.check(self.database.store, [subject.id], when=f"{name}, repeated", effect=case.effect)

    def _act(self, act: Act, subject: Subject, cut: Cut, name: str) -> None:
        self.proxy.arm(cut)
        try:
            self.tally.unexpected.append(f"{name}: answered {act.do(self.cut_off, subject)}")
        except DependencyError:
            self.tally.extra["callers told that the database went away"] += 1
        except Exception as error:
            self.tally.unexpected.append(f"{name}: {type(error).__name__}: {error}")
        self.tally.check(self.database.store, [subject.id], when=name)
        self.tally.attempt(f"{name}, repeated", lambda: act.again(self.cut_off, subject))

    def _request(self, case: Request, subject: Subject, cut: Cut, name: str) -> None:
        key = f"key-{next(self._keys)}" if case.has_key else None
        self.proxy.arm(cut, case.commit)
        first = self.door.post(subject, case.act, dict(case.body), key)
        self.tally.note(first.answers)
        self.tally.check(self.database.store, [subject.id], when=name)
        self.tally.extra["callers told that the database went away"] += first.status == DOWN
        second = self.door.post(subject, case.act, dict(case.body), key)
        self.tally.note(second.answers)
        self._judge(case, first, second, cut, name)

    def _judge(self, case: Request, first: Reply, second: Reply, cut: Cut, name: str) -> None:
        """The statuses are those expected, and both answers speak of the same promotion."""
        # A COMMIT that never arrived: the repetition does the act, or finds it by its key.
        wanted = DONE if cut is Cut.REQUEST else case.second
        if (first.status, second.status) != (case.first, wanted):
            self.tally.unexpected.append(f"{name}: answered {first.status}, then {second.status} {second.said}")
        if first.status == second.status == DONE and first.said != second.said:
            self.tally.doubles.append(f"{name}: answered {first.said}, then {second.said}")
