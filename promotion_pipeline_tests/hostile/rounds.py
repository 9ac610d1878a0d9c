"""Rounds of hostile experiments beside sound ones: nobody else may be affected, and nothing may end in a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, given, settings

from promotion_pipeline.config import Settings
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.hostile.doors import Left, through_every_door
from promotion_pipeline_tests.hostile.drawing import EXPERIMENTS, HostileExperiment
from promotion_pipeline_tests.hostile.world import World, make_world, write_hostile


@dataclass
class HostileRounds:
    """The sound world, and what it looks like when nobody hostile is there."""

    server: EmbeddedServer
    settings: Settings
    schema_template: str
    world: World | None = None
    alone: Left | None = None
    written: int = 0
    """Hostile experiments that the database took."""
    drawn: int = 0
    """Hostile experiments that were written or refused."""
    requests: int = 0
    """Their requests."""

    def meet(self, hostile: Sequence[HostileExperiment]) -> None:
        """One round.

        Raises:
            AssertionError: a sound experiment's numbers or answers are not those without the hostile ones.
        """
        world, alone = self._alone()
        with world.copy() as store:
            names = write_hostile(store, world.newest, hostile)
            left = through_every_door(store, world.newest, names)
        if self._hour_is_over(world):
            return
        for table, rows in alone.rows.items():
            assert left.rows[table] == rows, f"{table} of the sound experiments differ"
        for door, answer in alone.answers.items():
            assert left.answers[door] == answer, f"{door} about the sound experiments differs"
        self.drawn += len(hostile)
        self.requests += sum(len(one.requests) for one in hostile)
        self.written += len(names)

    def _alone(self) -> tuple[World, Left]:
        if self.world is None or self.alone is None or self._hour_is_over(self.world):
            self.world = make_world(self.server, self.settings, self.schema_template)
            with self.world.copy() as store:
                self.alone = through_every_door(store, self.world.newest, [])
            assert all(self.alone.rows[table] for table in ("rollups", "decisions", "users", "promotions"))
        return self.world, self.alone

    def _hour_is_over(self, world: World) -> bool:
        """What was decided meanwhile is about another hour: it cannot be compared."""
        with world.copy() as store, contextlib.closing(store.connect()) as connection:
            return newest_complete_hour(connection) != world.newest


def draw(number: int) -> list[HostileExperiment]:
    """So many hostile experiments, each an example of its own, under names that differ."""
    drawn: list[HostileExperiment] = []

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(one=EXPERIMENTS)
    def collect(one: HostileExperiment) -> None:
        drawn.append(replace(one, name=f"{one.name} {len(drawn)}"))

    collect()
    return drawn


def run_rounds(rounds: HostileRounds, hostile: Sequence[HostileExperiment], each: int) -> None:
    """Let them meet the sound experiments, `each` at a time.

    Raises:
        AssertionError: a round found something; the message has as few hostile experiments as still show it.
    """
    for begin in range(0, len(hostile), each):
        together = hostile[begin : begin + each]
        try:
            rounds.meet(together)
        except Exception as error:
            fewest = _fewest(rounds, list(together))
            raise AssertionError(f"{type(error).__name__}: {error}\nshown by {fewest!r}") from error


def _fewest(rounds: HostileRounds, together: list[HostileExperiment]) -> list[HostileExperiment]:
    """Halve for as long as one half shows it alone."""
    while len(together) > 1:
        middle = len(together) // 2
        for half in (together[:middle], together[middle:]):
            try:
                rounds.meet(half)
            except Exception:
                together = half
                break
        else:
            return together
    return together
