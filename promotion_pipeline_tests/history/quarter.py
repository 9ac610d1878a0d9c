"""A quarter of a year decided as it happened, and once more in one run: every column must be the same.

`python -m promotion_pipeline_tests.history.quarter` decides each of its 2,160 hours in a run of its own. Thresholds,
splits, variants, holds, stops and the environment change meanwhile through the application's own tables: what the
triggers note is only moved to the simulated instant.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from psycopg.types.json import Jsonb

from promotion_pipeline.config import PromotionConfig, Settings
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store, open_store
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
TABLES = ("variant_metrics", "significance_results", "eligibility_decisions")
NAMES = ("plain", "by-value", "matures", "many-arms", "late-starter", "restarted")
CONFIGS: tuple[dict[str, object], ...] = (
    {},
    {"min_confidence_level": 99.0, "min_improvement_percent": 1.5},
    {"evidence": "fixed_horizon", "min_runtime_hours": 12},
    {"planned_sample_size": 40_000, "guardrails": ["error_rate", "latency"]},
    {"attribution_window_hours": 7.5},
    {"primary_metric": "value_mean", "direction": "decrease"},
    {"min_sample_size": "many"},
)
ENVIRONMENTS = (
    PromotionConfig(),
    PromotionConfig(min_confidence_level=97.5, min_sample_size=300),
    PromotionConfig(guardrails=("error_rate",), planned_sample_size=9_000),
)
CHANGES = (
    "UPDATE ab_experiments SET promotion_config = %(config)s WHERE name = %(name)s",
    "UPDATE ab_variants SET traffic_percentage = 100 - traffic_percentage WHERE experiment_id = %(id)s AND 2 = ("
    "SELECT count(*) FROM ab_variants WHERE experiment_id = %(id)s)",
    "UPDATE ab_experiments SET auto_promotion_hold = CASE WHEN auto_promotion_hold IS NULL THEN 'wait' END"
    " WHERE name = %(name)s",
    "UPDATE ab_experiments SET is_active = false WHERE name = %(name)s",
    "UPDATE ab_variants SET name = name || '''' WHERE experiment_id = %(id)s AND NOT is_control",
    "UPDATE ab_variants SET is_control = NOT is_control WHERE experiment_id = %(id)s AND 2 = ("
    "SELECT count(*) FROM ab_variants WHERE experiment_id = %(id)s)",
)


RESTART = "UPDATE ab_experiments SET is_active = true WHERE name = %(name)s"
CHANGES_AN_HOUR = 0.06


@dataclass
class Quarter:
    """The simulated time, and the store under the environment of that time."""

    store: Store
    rng: np.random.Generator
    changes_an_hour: float
    began: datetime
    """The database's clock when the simulation began: what is younger happened in simulated time."""

    def change(self, connection: Connection, at: datetime) -> None:
        """One change of one experiment, noted by the triggers, as if the clock had shown `at`."""
        name = str(self.rng.choice([name for name in NAMES if begins(name) < at]))
        row = connection.execute("SELECT id, is_active FROM ab_experiments WHERE name = %s", [name]).fetchone()
        assert row is not None
        config = CONFIGS[self.rng.integers(len(CONFIGS))]
        statement = CHANGES[self.rng.choice(len(CHANGES), p=[0.4, 0.2, 0.1, 0.15, 0.1, 0.05])]
        if not row["is_active"]:
            statement = RESTART
        connection.execute(statement, {"name": name, "id": row["id"], "config": Jsonb(config)})
        happened_at(connection, self.began, at)

    def change_environment(self) -> None:
        """Other thresholds of the environment from now on."""
        thresholds = ENVIRONMENTS[self.rng.integers(len(ENVIRONMENTS))]
        self.store = replace(self.store, settings=self.store.settings.model_copy(update={"thresholds": thresholds}))

    def changes(self, hours: float) -> list[float]:
        """When something changes within a run of so many hours."""
        return sorted(self.rng.uniform(0, hours, self.rng.poisson(hours * self.changes_an_hour)))

    def runs(self, hours: int, longest: int) -> Iterator[tuple[datetime, datetime]]:
        """The windows of the runs: mostly an hour, sometimes what an outage left behind."""
        at, end = START, START + hours * HOUR
        while at < end:
            length = 1 if longest == 1 else int(self.rng.integers(1, longest + 1))
            yield at, min(at + length * HOUR, end)
            at = min(at + length * HOUR, end)


def happened_at(connection: Connection, began: datetime, at: datetime) -> None:
    """Move what the triggers have noted since `began` to `at`."""
    moves = (
        "UPDATE ab_experiment_phases SET started_at = %(at)s WHERE started_at >= %(began)s",
        "UPDATE ab_experiment_phases SET ended_at = %(at)s WHERE ended_at >= %(began)s",
        "UPDATE ab_experiment_history SET valid_until = %(at)s"
        " WHERE valid_until >= %(began)s AND valid_until < 'infinity'",
        "UPDATE ab_experiment_history SET valid_from = %(at)s, noted_at = %(at)s WHERE valid_from >= %(began)s",
    )
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in moves:
            connection.execute(statement, {"at": at, "began": began})


def begins(name: str) -> datetime:
    """When an experiment starts."""
    return START + timedelta(days=9, minutes=20) if name == "late-starter" else START - timedelta(minutes=35)


def seed(store: Store) -> None:
    """Six experiments and a quarter of their hourly sums; late-starter begins in the second week."""
    two = [VariantSpec("control", is_control=True), VariantSpec("treatment")]
    arms = [VariantSpec(f"arm-{number}", traffic=10) for number in range(9)]
    ten = [VariantSpec("control", is_control=True, traffic=10), *arms]
    configs: dict[str, dict[str, Any]] = {
        "by-value": {"primary_metric": "value_mean"},
        "matures": {"attribution_window_hours": 30},
    }
    for name in NAMES:
        start = begins(name)
        variants = ten if name == "many-arms" else two
        seed_experiment(store, name, variants, start=start, end=start + HOUR, promotion_config=configs.get(name))


def add_rollups(connection: Connection, rng: np.random.Generator, start: datetime, end: datetime) -> None:
    """Random sums of the hours in [start, end) in the phases that are open."""
    connection.execute("SELECT setseed(%s)", [float(rng.random())])
    connection.execute(
        """
        INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
            latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares, newest_request_at)
        SELECT hour, phase.experiment_id, phase.id, variant.id, 30 + n, 3 + n / 9 + (NOT variant.is_control)::integer,
            n / 18, 30 + n, (30 + n) * 90.1 + random(), (30 + n) * 9100 + random(), 40 + n / 7.0 + random(),
            300 + n / 3.0 + random(), hour + interval '59 minutes'
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS hour
        JOIN ab_experiment_phases AS phase ON phase.started_at < hour + interval '1 hour' AND phase.ended_at IS NULL
        JOIN ab_variants AS variant USING (experiment_id)
        CROSS JOIN LATERAL (SELECT (random() * 20 + 0 * extract(epoch FROM hour))::integer AS n) AS drawn
        """,
        {"start": start, "end": end},
    )


def live_through(store: Store, hours: int, longest: int, changes_an_hour: float = CHANGES_AN_HOUR) -> Store:
    """Decide the hours as they happen, in runs of up to `longest` hours; returns the store as it ended."""
    rng = np.random.default_rng(1)
    with store.connect() as connection:
        seed(store)
        quarter = Quarter(store, rng, changes_an_hour, database_now(connection))
        for number, (start, end) in enumerate(quarter.runs(hours, longest)):
            filled = start
            for at in quarter.changes((end - start) / HOUR):
                add_rollups(connection, rng, filled, filled := start + int(at) * HOUR)
                quarter.change(connection, start + float(at) * HOUR)
            if rng.random() < 0.05:
                quarter.change_environment()
            add_rollups(connection, rng, filled, end)
            evaluate_window(quarter.store, start, end)
            if number % 20 == 0:
                refresh_totals(quarter.store, end)
        return quarter.store


def differences(store: Store, hours: int) -> dict[str, pd.DataFrame]:
    """Rows that are not the same, by table, after deciding all hours once more in one run."""
    before = {table: rows_of(store, table, "record") for table in TABLES}
    end = START + hours * HOUR
    evaluate_window(store, START, end, tables=tuple(Table))
    found = {}
    for table in TABLES:
        after = rows_of(store, table, "latest")
        both = before[table].merge(after, how="outer", indicator=True)
        found[table] = both[both["_merge"] != "both"]
    return found


def rows_of(store: Store, table: str, label: str) -> pd.DataFrame:
    """Every column as text, which shows every bit of a float, but for when it was written and the label."""
    of_label = f"WHERE label = '{label}'" if table == "eligibility_decisions" else ""
    with store.connect() as connection:
        cursor = connection.execute(f"SELECT * FROM {table} {of_label}")
        frame = pd.DataFrame(cursor.fetchall())
    return frame.drop(columns=["label", "decided_at"], errors="ignore").map(repr)


def report(store: Store, hours: int, longest: int, say: Callable[[str], object]) -> bool:
    """Live through it and replay it; whether nothing differs."""
    ended = live_through(store, hours, longest)
    found = differences(ended, hours)
    with store.connect() as connection:
        states = connection.execute("SELECT count(*) AS n FROM ab_experiment_history").fetchone()
        decided = connection.execute(
            "SELECT count(*) AS n, count(DISTINCT verdict) AS verdicts FROM eligibility_decisions"
            " WHERE label = 'record'"
        ).fetchone()
    assert states is not None and decided is not None
    say(f"{hours} hours, {decided['n']} decisions, {decided['verdicts']} verdicts, {states['n']} states of experiments")
    for table, rows in found.items():
        say(f"{table}: {len(rows)} rows differ")
    return not any(map(len, found.values()))


def main() -> int:
    """The whole quarter, an hour a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=DAYS * 24)
    parser.add_argument("--longest", type=int, default=1, help="Hours of the longest run.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, open_store(Settings(home=Path(home))) as store:
        return 0 if report(store, given.hours, given.longest, print) else 1


if __name__ == "__main__":
    sys.exit(main())
