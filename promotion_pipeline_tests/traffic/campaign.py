"""`python -m promotion_pipeline_tests.traffic.campaign` kills workers, loses answers and edits by hand meanwhile.

Whatever happens, a delivery that is verified is what the provider serves, and no foreign edit is overwritten. The test
suite runs a few rounds of it.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.serving import start_clocks
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.traffic.deliveries import SplitChange, TrafficDelivery, TrafficState, note_delivery
from promotion_pipeline.traffic.delivery import attempt
from promotion_pipeline_tests.seeding import Seeded
from promotion_pipeline_tests.traffic.delivering import newest, once_more, seed
from promotion_pipeline_tests.traffic.provider import TOKEN, Answer, Provider, provider_at_work

KILLS = ("at the first read", "before the write arrives", "after the write arrived", "at the read-back")
EDITS = ("before the read", "before the write", "before the read-back", "afterwards")
_SETTLES = 12


@dataclass
class Tally:
    """What happened, and what must never."""

    ended: Counter[str] = field(default_factory=Counter)
    untrue: list[str] = field(default_factory=list)
    """Rounds that ended verified while something else was served."""
    lost: list[str] = field(default_factory=list)
    """Foreign edits that were overwritten."""


class Campaign:
    """Rounds on one experiment and one provider."""

    def __init__(self, store: Store, provider: Provider, seeded: Seeded, dice: random.Random) -> None:
        self._store, self._provider, self._seeded, self._dice = store, provider, seeded, dice
        self.tally = Tally()

    def kill(self) -> None:
        """A worker dies at one of the points between read and read-back; the next tick goes on."""
        point = self._dice.choice(KILLS)
        self._decide()
        worker = multiprocessing.get_context("fork").Process(target=_work, args=(self._store, self._seeded))
        reads = {KILLS[0]: 1, KILLS[3]: 2}.get(point)

        def dies() -> None:
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(worker.pid, signal.SIGKILL)  # type: ignore[arg-type]
            worker.join(5)

        seen = Counter[str]()

        def at_read() -> None:
            seen["read"] += 1
            if seen["read"] == reads:
                dies()

        self._provider.before_read = at_read
        self._provider.before_write = dies if point == KILLS[1] else _nothing
        self._provider.after_write = dies if point == KILLS[2] else _nothing
        worker.start()
        worker.join(30)
        self._quiet()
        self._end(f"killed {point}", edit=None)

    def lose_an_answer(self) -> None:
        """The write arrives, and its answer does not."""
        self._decide()
        self._provider.answers = [Answer(arrives=True, cuts=True)]
        self._end("lost answer", edit=None)

    def edit_by_hand(self) -> None:
        """Somebody changes the weights at one of the points."""
        point = self._dice.choice(EDITS)
        control = self._dice.randrange(1000)
        edit = {"control": control, "treatment": 1000 - control}
        does = partial(self._provider.edit, control, 1000 - control)
        wanted = self._decide()
        if point == EDITS[0]:
            does()
        self._provider.before_write = does if point == EDITS[1] else _nothing
        self._provider.after_write = does if point == EDITS[2] else _nothing
        if point == EDITS[3]:
            self._settle()
            does()
            self._decide()
        is_same = edit == {name: int(share * 10) for name, share in wanted.items()}
        self._end(f"edited {point}", edit=None if is_same else edit)

    def _decide(self) -> dict[str, Decimal]:
        """The split of a new act."""
        share = Decimal(self._dice.randrange(1001)) / 10
        split = {"control": 100 - share, "treatment": share}
        by_id = {str(self._seeded.variant_ids[name]): percent for name, percent in split.items()}
        with self._store.connect() as connection, connection.transaction():
            note_delivery(connection, self._seeded.id, by_id, promotion_id=None, way=SplitChange.FORWARD)
            for key, percent in by_id.items():
                connection.execute("UPDATE ab_variants SET traffic_percentage = %s WHERE id = %s", [percent, key])
        return split

    def _settle(self) -> TrafficDelivery:
        for _ in range(_SETTLES):
            delivery = once_more(self._store, self._seeded)
            if not delivery.is_under_way:
                break
        return delivery

    def _end(self, what: str, edit: dict[str, int] | None) -> None:
        delivery = self._settle()
        self._quiet()
        self.tally.ended[f"{what}: {delivery.state.value}"] += 1
        names = {str(key): name for name, key in self._seeded.variant_ids.items()}
        wanted = {names[key]: int(share * 10) for key, share in delivery.wanted.items()}
        if delivery.state is TrafficState.VERIFIED and self._provider.weights != wanted:
            self.tally.untrue.append(f"{what}: {wanted}, served {self._provider.weights}")
        if edit is not None and self._provider.weights != edit:
            self.tally.lost.append(f"{what}: {edit}, served {self._provider.weights}")
        if delivery.state is not TrafficState.VERIFIED:
            self._start_over()

    def _start_over(self) -> None:
        """Somebody settles the conflict: ours is served again."""
        with self._store.connect() as connection:
            connection.execute(
                "UPDATE traffic_deliveries SET expected = NULL, state = 'pending' WHERE id = %s",
                [newest(self._store, self._seeded.id).id],
            )
        self._settle()

    def _quiet(self) -> None:
        self._provider.before_read = self._provider.before_write = self._provider.after_write = _nothing


def _nothing() -> None:
    """What happens at a point where nothing does."""


def _work(store: Store, seeded: Seeded) -> None:
    attempt(store, seeded.id, start_clocks)


def run(store: Store, provider: Provider, *, kills: int, answers: int, edits: int, seed_number: int = 1) -> Tally:
    """So many rounds of each kind, in a random order."""
    known = {"unleash_url": provider.url, "unleash_token": SecretStr(TOKEN)}
    served = Store(store.url, store.settings.model_copy(update=known))
    dice = random.Random(seed_number)
    campaign = Campaign(served, provider, seed(served), dice)
    rounds = [campaign.kill] * kills + [campaign.lose_an_answer] * answers + [campaign.edit_by_hand] * edits
    dice.shuffle(rounds)
    for one in rounds:
        one()
    return campaign.tally


def main() -> None:
    """Run it on a server of its own, print what happened, and end with 1 if anything was untrue or lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 200), ("answers", 200), ("edits", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, provider_at_work() as provider:
        Path(folder).chmod(0o755)
        with EmbeddedServer(Path(folder)) as server:
            create_database(server.url("postgres"), "campaign")
            url = server.url("campaign")
            migrate.upgrade(url)
            store = Store(url, Settings(home=Path(folder), database_url=SecretStr(url)))
            tally = run(store, provider, **vars(asked))
    for what, count in sorted(tally.ended.items()):
        print(f"{count:5}  {what}")
    print(f"verified and not served: {len(tally.untrue)}; foreign edits lost: {len(tally.lost)}")
    for line in tally.untrue + tally.lost:
        print(f"  {line}")
    raise SystemExit(1 if tally.untrue or tally.lost else 0)


if __name__ == "__main__":
    main()
