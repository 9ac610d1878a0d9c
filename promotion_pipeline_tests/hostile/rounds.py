"""Rounds of hostile experiments beside sound ones: nobody else may be affected, and nothing may end in a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from promotion_pipeline.config import Settings
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.embedded import EmbeddedServer
from promotion_pipeline_tests.hostile.doors import Left, through_every_door
from promotion_pipeline_tests.hostile.drawing import EXPERIMENTS, HostileExperiment
from promotion_pipeline_tests.hostile.world import World, make_world, write_hostile


@dataclass
class Arena:
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
    rounds: list[int] = field(default_factory=list)

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


def run_rounds(arena: Arena, experiments: int, each: int, *, shrink: bool = True) -> None:
    """Draw at least so many hostile experiments, `each` beside each other.

    Raises:
        AssertionError, Exception: what a round found, with the smallest hostile experiments that show it.
    """
    phases = [Phase.explicit, Phase.generate] + ([Phase.shrink] if shrink else [])

    @settings(
        max_examples=-(-experiments // each),
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(hostile=st.lists(EXPERIMENTS, min_size=each, max_size=each, unique_by=lambda one: one.name))
    def meet(hostile: list[HostileExperiment]) -> None:
        arena.meet(hostile)

    meet()
