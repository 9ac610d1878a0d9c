"""The hourly run as production starts it, in a process of its own, beside runs of a job that does nothing."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from promotion_pipeline.benchmark.measure import Run, dagster_process
from promotion_pipeline.benchmark.seed import seed_hours
from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.instance import instance_environment
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.store.database import open_store
from promotion_pipeline.store.windows import HOUR

TICKS = 5
EXPERIMENTS = 1_000
LARGE = 10_000
LOADS = (10, 100)
"""Requests of an experiment in an hour."""


def report() -> str:
    """Print-ready lines: consecutive hours, each decided by a process of its own, at both loads."""
    return "\n".join(_report(EXPERIMENTS, requests) for requests in LOADS)


def report_large() -> str:
    """The same for 10,000 experiments at the lower load."""
    return _report(LARGE, LOADS[0])


def _report(experiments: int, requests_each: int) -> str:
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        with store.connect() as connection:
            end = seed_hours(connection, experiments, experiments * requests_each, TICKS + 1)
        environment = {**os.environ, **instance_environment(store), "AUTO_PROMOTION_HOME": folder}
        runs: dict[str, list[Run]] = {"alone": [], "location": [], "tick": []}
        for tick in range(TICKS + 1):
            hour = end - (TICKS + 1 - tick) * HOUR
            found = {
                "alone": _run("promotion_pipeline.benchmark.empty_run", "empty_run", {}, environment),
                "location": _run("promotion_pipeline.benchmark.empty_location", "empty_run", {}, environment),
                "tick": _run(
                    "promotion_pipeline.definitions", names.HOURLY_JOB, range_tags(hour, hour + HOUR), environment
                ),
            }
            # Not measured: the first hour also adds up two weeks of totals, which is done once a day.
            if tick > 0:
                for name, run in found.items():
                    runs[name].append(run)
            else:
                first = found["tick"]
    return "\n".join(_lines(experiments, experiments * requests_each, runs, first))


def _lines(experiments: int, requests: int, runs: Mapping[str, list[Run]], first: Run) -> list[str]:
    middle = {name: statistics.median(run.seconds for run in found) for name, found in runs.items()}
    memory = max(run.peak_mb for run in runs["tick"])
    return [
        f"hourly tick, {experiments:,} experiments of 3 variants, {requests:,} new requests in the hour, 2 weeks of"
        f" history; a process each, medians of {TICKS}",
        f"  {'the tick':36} {middle['tick']:6.2f} s, {memory:,.0f} MB",
        f"  {'an empty run in this code location':36} {middle['location']:6.2f} s:"
        f" the tick is {middle['tick'] / middle['location']:.2f} times as long",
        f"  {'an empty run of a file of its own':36} {middle['alone']:6.2f} s:"
        f" {middle['tick'] / middle['alone']:.2f} times (without pandas, scipy and the product to import)",
        f"  {'the first tick of a day':36} {first.seconds:6.2f} s",
    ]


def _run(module: str, job: str, tags: Mapping[str, str], environment: Mapping[str, str]) -> Run:
    return dagster_process(["job", "execute", "-m", module, "-j", job, "--tags", json.dumps(tags)], environment)
