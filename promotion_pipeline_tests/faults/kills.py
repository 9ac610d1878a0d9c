"""kill -9 at every crash point, at every message to the database, and at any instant of every act."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from promotion_pipeline_tests.faults.acts import ACTS, Act
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Subject
from promotion_pipeline_tests.faults.tally import Tally
from promotion_pipeline_tests.faults.worker import Fate, Moment, run_worker

CLEAR_OF_THE_HOUR_SECONDS = 30.0
MOST_AT_ONCE = 25


def kill_everywhere(
    host: CampaignServer, rng: random.Random, kills: int, scale: float = 1.0, acts: Sequence[Act] = ACTS
) -> Tally:
    """Every crash point and every message of every act, or a share of them; then any instant until there are `kills`.

    After each kill: every rule holds at once; the next tick, or the person who repeats the act, finishes it; and
    doing that once more changes nothing.
    """
    tally = Tally("kills", "kills")
    with host.database() as database:
        campaigns = [_Campaign(database, act, tally, rng) for act in acts]
        for campaign in campaigns:
            campaign.measure()
            fates = campaign.points() + campaign.messages()
            campaign.kill_at(fates if scale >= 1 else rng.sample(fates, round(len(fates) * scale)))
        while tally.done < kills:
            rng.choice(campaigns).kill_at([Fate(Moment.ANY)] * 5)
        tally.check(database.store, when="after all kills")
    return tally.finish()


def kill_at_some_points(host: CampaignServer, rng: random.Random, each: int, acts: Sequence[Act] = ACTS) -> Tally:
    """`each` crash points of every act, chosen at random, and as many messages of the acts that have no points."""
    tally = Tally("kills", "kills")
    with host.database() as database:
        for act in acts:
            campaign = _Campaign(database, act, tally, rng)
            # The first messages of every act: connection's begin, the locks, the reads under them.
            chosen = campaign.points() or [Fate(Moment.SENT, trip=trip) for trip in range(1, 9)]
            campaign.kill_at(rng.sample(chosen, min(each, len(chosen))))
        tally.check(database.store, when="after all kills")
    return tally.finish()


class _Campaign:
    """The kills of one act."""

    def __init__(self, database: CampaignDatabase, act: Act, tally: Tally, rng: random.Random) -> None:
        self.database, self.act, self.tally, self.rng = database, act, tally, rng
        self.seconds, self.trips = 0.1, 0

    def points(self) -> list[Fate]:
        """A kill at each crash point that the act passes."""
        return [Fate(Moment.POINT, point) for point in self.act.points]

    def messages(self) -> list[Fate]:
        """A kill with each message under way; where other experiments add messages, none can be named."""
        return [Fate(Moment.SENT, trip=trip) for trip in range(1, self.trips + 1) if self.act.is_one_subject]

    def measure(self) -> None:
        """Live through the act, once cold and once warm: how many messages it sends, and how long it takes."""
        for _ in range(2):
            subject = self._subjects(1)[0]
            ended = run_worker(self.database.store, self.act.name, subject, Fate(Moment.NEVER))
            self.seconds, self.trips = ended.seconds, ended.trips
            self.tally.note(ended.answers)
            if not ended.answers:
                self.tally.unexpected.append(f"{self.act.name!r} without a kill was not done")
            self._finish(subject, "nothing")

    def kill_at(self, fates: Sequence[Fate]) -> None:
        """One kill on one fresh experiment each."""
        most = MOST_AT_ONCE if self.act.is_one_subject else 1
        for first in range(0, len(fates), most):
            some = fates[first : first + most]
            for subject, fate in zip(self._subjects(len(some)), some, strict=True):
                self._kill(subject, fate)

    def _subjects(self, count: int) -> list[Subject]:
        self.database.keep_clear_of_the_hour(CLEAR_OF_THE_HOUR_SECONDS)
        return self.database.subjects(self.act.setting, count)

    def _kill(self, subject: Subject, fate: Fate) -> None:
        after = self.rng.uniform(0, self.seconds) if fate.moment is Moment.ANY else None
        ended = run_worker(self.database.store, self.act.name, subject, fate, kill_after=after)
        self.tally.note(ended.answers)
        if ended.was_killed:
            self.tally.done += 1
            self.tally.extra[WHERE[fate.moment]] += 1
        elif fate.moment is not Moment.ANY:
            self.tally.unexpected.append(f"{self.act.name!r} lived through {fate}")
        self.tally.check(self.database.store, [subject.id], when=f"{self.act.name!r} killed {fate}")
        self._finish(subject, str(fate))

    def _finish(self, subject: Subject, fate: str) -> None:
        for which in ("next", "second"):
            when = f"{self.act.name!r} after {fate} and the {which} tick"
            self.tally.attempt(when, partial(self.act.again, self.database.store, subject))
            self.tally.check(self.database.store, [subject.id], when=when, effect=self.act.effect)


WHERE = {
    Moment.POINT: "at a crash point",
    Moment.SENT: "with a message to the database under way",
    Moment.ANY: "at an instant at random",
}
