"""One hourly run of the graph in this process, split into Dagster, database and evaluation."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg

from promotion_pipeline.benchmark.seed import seed_hours
from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.database import open_store
from promotion_pipeline.store.windows import HOUR


@dataclass(frozen=True)
class Split:
    """Seconds of one hourly run."""

    total: float
    database: float
    evaluation: float

    @property
    def dagster(self) -> float:
        """What is neither rollup, evaluation nor the reading and writing of frames: steps, events, asset checks."""
        return self.total - self.database - self.evaluation


def report(experiments: int = 1000, requests: int = 1_000_000) -> str:
    """Print-ready lines of one hourly run over `experiments` with `requests` in the hour."""
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        with store.connect() as connection:
            end = seed_hours(connection, experiments, requests, 1)
        with open_instance(store) as instance:
            graph = InProcess(instance, store)
            first = timed(graph, end)
            again = timed(graph, end)
    lines = [f"hourly run of the graph in process, {experiments:,} experiments, {requests:,} requests in the hour"]
    for name, split in (("first run of the hour", first), ("the same hour again, nothing new", again)):
        lines.append(
            f"  {name:36} {split.total:6.2f} s = database {split.database:.2f} + evaluation {split.evaluation:.2f}"
            f" + Dagster and its checks {split.dagster:.2f}"
        )
    return "\n".join(lines)


def timed(graph: InProcess, end: datetime) -> Split:
    """The run of the hour before `end`."""
    begin = time.perf_counter()
    result = graph.run_hours(end - HOUR, end)
    total = time.perf_counter() - begin
    spent: dict[str, float] = {}
    for key in (names.ROLLUPS, names.DECISIONS):
        for event in result.all_events:
            if not event.is_step_materialization or event.asset_key != dg.AssetKey(key):
                continue
            for name, value in event.step_materialization_data.materialization.metadata.items():
                if name.startswith("seconds") and isinstance(value.value, (int, float)):
                    spent[f"{key}/{name}"] = float(value.value)
    evaluation = spent.get(f"{names.DECISIONS}/seconds_evaluate", 0.0)
    return Split(total, sum(spent.values()) - evaluation, evaluation)
