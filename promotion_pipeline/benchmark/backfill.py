"""A month of hours decided in one Dagster run, beside reading and writing its rows alone."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from promotion_pipeline.benchmark.measure import Run, dagster_process
from promotion_pipeline.benchmark.seed import seed_experiments, seed_history
from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.window import WindowResult, evaluate_window
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.instance import instance_environment
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store, open_store
from promotion_pipeline.store.windows import HOUR

HOURS = 720
SIZES = (100, 1_000)
LARGE = 10_000
TABLES = (names.METRICS, names.SIGNIFICANCE, names.DECISIONS)


@dataclass(frozen=True)
class Month:
    """What a month of one size took."""

    experiments: int
    run: Run
    alone: WindowResult

    @property
    def rows_alone_seconds(self) -> float:
        """Reading and writing the rows, without deciding and without Dagster."""
        return self.alone.seconds["read"] + self.alone.seconds["write"]


def report() -> str:
    """Print-ready lines for 100 and 1,000 experiments."""
    return _lines([measure(experiments) for experiments in SIZES])


def report_large() -> str:
    """Print-ready lines for 1,000 and 10,000 experiments; the latter writes 43 million rows."""
    return _lines([measure(experiments) for experiments in (SIZES[-1], LARGE)])


def measure(experiments: int) -> Month:
    """One month of rollups, decided by one process that Dagster runs, then again with a clock at every part."""
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        with store.connect() as connection:
            end = newest_complete_hour(connection)
            start = end - HOURS * HOUR
            seed_experiments(connection, experiments, start)
            seed_history(connection, start, end)
            connection.execute("VACUUM (ANALYZE)")
        environment = {**os.environ, **instance_environment(store), "AUTO_PROMOTION_HOME": folder}
        run = dagster_process(_arguments(start, end), environment)
        return Month(experiments, run, _again(store, start, end))


def _arguments(start: datetime, end: datetime) -> list[str]:
    return [
        "asset",
        "materialize",
        "-m",
        "promotion_pipeline.definitions",
        "--select",
        " or ".join(f"key:{table}" for table in TABLES),
        "--partition-range",
        f"{hour_key(start)}...{hour_key(end - HOUR)}",
    ]


def _again(store: Store, start: datetime, end: datetime) -> WindowResult:
    """The same without Dagster, into empty tables."""
    with store.connect() as connection:
        connection.execute("TRUNCATE variant_metrics, significance_results, eligibility_decisions")
    return evaluate_window(store, start, end)


def _lines(months: list[Month]) -> str:
    lines = [f"backfill of {HOURS} hours in one Dagster run, 3 variants, all three tables written"]
    for month in months:
        rows = sum(month.alone.rows.values())
        lines.append(
            f"  {month.experiments:6,} experiments: {month.run.seconds:7.1f} s, {month.run.peak_mb:5,.0f} MB;"
            f" {rows:,} rows written; reading and writing the rows alone {month.rows_alone_seconds:.1f} s:"
            f" {month.run.seconds / month.rows_alone_seconds:.2f} times"
            f" (deciding them {month.alone.seconds['evaluate']:.1f} s)"
        )
    first, last = months[0], months[-1]
    lines.append(
        f"  {last.experiments // first.experiments} times the experiments:"
        f" {last.run.seconds / first.run.seconds:.1f} times the time,"
        f" {last.run.peak_mb / first.run.peak_mb:.2f} times the memory"
    )
    return "\n".join(lines)
