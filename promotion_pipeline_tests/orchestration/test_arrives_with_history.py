"""An experiment that is loaded with its history beside one that runs, in every order of load, tick and sensor.

Its newest 48 hours, which is what the look-back reads, say the opposite of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, Seeded, VariantSpec, add_requests, count, seed_experiment

HOURS = 300
RECENT = 48
NAME = "arrived"
RATES = {"worse": ((0.14, 0.10), (0.10, 0.14)), "better": ((0.10, 0.14), (0.14, 0.10))}
"""Rates of control and treatment in the 252 old hours, and in the 48 new ones."""


@dataclass
class World:
    """What happens to the experiment, step by step."""

    stage: Stage
    truth: str
    ticks: int
    """Ticks that are still to come; the last is about the newest hour."""
    seeded: Seeded | None = None

    @property
    def start(self) -> datetime:
        return self.stage.hours_ago(HOURS)

    def row(self, *, is_active: bool = True) -> None:
        """The experiment and its variants, no request."""
        variants = (VariantSpec("control", is_control=True), VariantSpec("treatment"))
        self.seeded = seed_experiment(
            self.stage.store, NAME, variants, start=self.start, end=self.stage.newest, is_active=is_active
        )

    def switched_off_row(self) -> None:
        self.row(is_active=False)

    def switch_on(self) -> None:
        """The start is set anew, as a team does that begins with a clean table."""
        with self.stage.store.connect() as connection:
            connection.execute(
                "UPDATE ab_experiments SET is_active = true, start_date = start_date - interval '1 minute'"
                " WHERE name = %s",
                (NAME,),
            )

    def old(self) -> None:
        self._load(0, self.start, self.stage.hours_ago(RECENT))

    def new(self) -> None:
        self._load(1, self.stage.hours_ago(RECENT), self.stage.newest)

    def _load(self, part: int, start: datetime, end: datetime) -> None:
        assert self.seeded is not None
        hours = int((end - start) / timedelta(hours=1))
        for name, rate in zip(("control", "treatment"), RATES[self.truth][part], strict=True):
            requests = 80 * hours
            rows = VariantSpec(name, requests=requests, conversions=round(rate * requests))
            add_requests(self.stage.store, self.seeded, rows, start=start, end=end)

    def data_without_a_row(self) -> None:
        """Everything but the experiment, which comes afterwards under the same ids."""
        self.row()
        self.old()
        self.new()
        with self.stage.store.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            for table in ("ab_variants", "ab_experiment_phases", "ab_experiment_history"):
                connection.execute(f"DELETE FROM {table} WHERE experiment_id = %s", (self.id,))
            connection.execute("DELETE FROM ab_experiments WHERE id = %s", (self.id,))

    def row_for_the_data(self) -> None:
        assert self.seeded is not None
        with self.stage.store.connect() as connection, connection.transaction():
            connection.execute(
                "INSERT INTO ab_experiments (id, name, start_date) VALUES (%s, %s, %s)", (self.id, NAME, self.start)
            )
            for name, key in self.seeded.variant_ids.items():
                connection.execute(
                    "INSERT INTO ab_variants (id, experiment_id, name, is_control, traffic_percentage)"
                    " VALUES (%s, %s, %s, %s, 50)",
                    (key, self.id, name, name == "control"),
                )

    @property
    def id(self) -> UUID:
        assert self.seeded is not None
        return self.seeded.id

    def tick(self) -> None:
        """The hourly schedule, and the run that it asks for."""
        self.ticks -= 1
        self.stage.graph.tick_schedule(self.stage.hours_ago(self.ticks) + timedelta(minutes=5))

    def sensor(self) -> None:
        """The sensor, and the run that it asks for."""
        self.stage.graph.tick_sensor()

    def sweep(self) -> None:
        """The same from cron, without Dagster."""
        auto_check_promotions("cron", store=self.stage.store)


Step = Callable[[World], None]
ORDERS: dict[str, tuple[Step, ...]] = {
    "load, tick, tick": (World.row, World.old, World.new, World.tick, World.tick, World.sensor),
    "tick, load, sensor, tick": (World.tick, World.row, World.old, World.new, World.sensor, World.tick, World.sensor),
    "row, tick, load, tick": (World.row, World.tick, World.old, World.new, World.tick, World.sensor),
    "new half, tick, old half, tick": (World.row, World.new, World.tick, World.old, World.tick, World.sensor),
    "old half, tick, new half, tick": (World.row, World.old, World.tick, World.new, World.tick, World.sensor),
    "data, tick, row, tick": (
        World.data_without_a_row,
        World.tick,
        World.row_for_the_data,
        World.tick,
        World.sensor,
    ),
    "load, tick, switch on, tick": (
        World.switched_off_row,
        World.old,
        World.new,
        World.tick,
        World.switch_on,
        World.tick,
        World.sensor,
    ),
    "new half, tick, old half, sensor": (World.row, World.new, World.tick, World.old, World.sensor),
    "new half, tick, old half, sweep": (World.row, World.new, World.tick, World.old, World.sweep),
}


ALIKE = {
    "load, tick, tick",
    "row, tick, load, tick",
    "old half, tick, new half, tick",
    "new half, tick, old half, sensor",
}
"""Orders that are tried by `pytest -m every_order` only: each is like one of the others but for a step."""


def happen(stage: Stage, order: str, truth: str) -> World:
    """The running experiment is rolled up and decided; then one thing after the other."""
    steps = ORDERS[order]
    world = World(stage, truth, ticks=steps.count(World.tick))
    seed_experiment(stage.store, "beside", NO_DIFFERENCE, start=world.start, end=stage.newest)
    rollup_window(stage.store, world.start, stage.hours_ago(world.ticks))
    for step in steps:
        step(world)
    return world


def promotions(world: World) -> list[dict[str, object]]:
    with world.stage.store.connect() as connection:
        return connection.execute(
            "SELECT promoted_variant_name, sample_size, promotion_type FROM experiment_promotions"
        ).fetchall()


@pytest.mark.parametrize(
    "order", [pytest.param(order, marks=pytest.mark.every_order) if order in ALIKE else order for order in ORDERS]
)
def test_it_is_never_promoted_on_a_part_of_its_data(stage: Stage, order: str) -> None:
    world = happen(stage, order, "worse")
    assert promotions(world) == []
    assert count(stage.store, "SELECT count(*) FROM promotion_approvals") == 0
    decided = "SELECT count(*) FROM eligibility_decisions WHERE experiment_id = %s AND label = 'record'"
    assert count(stage.store, decided, world.id) > 0
    in_sums = "SELECT sum(requests)::bigint FROM hourly_variant_rollups WHERE experiment_id = %s"
    assert count(stage.store, in_sums, world.id) == 2 * 80 * HOURS
    if ORDERS[order][-2] is World.tick:
        with stage.store.connect() as connection:
            row = connection.execute(
                "SELECT sample_size, is_eligible FROM eligibility_decisions"
                " WHERE experiment_id = %s AND hour = %s AND label = 'record'",
                (world.id, stage.hours_ago(1)),
            ).fetchone()
        assert row == {"sample_size": 80 * HOURS, "is_eligible": False}


@pytest.mark.parametrize("order", ["tick, load, sensor, tick", "new half, tick, old half, tick"])
def test_a_winner_is_promoted_on_all_of_its_data_and_by_nobody(stage: Stage, order: str) -> None:
    world = happen(stage, order, "better")
    assert promotions(world) == [
        {"promoted_variant_name": "treatment", "sample_size": 80 * HOURS, "promotion_type": "auto"}
    ]
