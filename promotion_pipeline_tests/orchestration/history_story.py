"""`python -m promotion_pipeline_tests.orchestration.history_story`: a load beside what runs, by the real daemon.

Two experiments arrive with 300 hours of history after these hours were read for another: one whose newest 48 hours
look better than the whole, and a true winner. The daemon's own schedule and sensor do the rest. It starts a PostgreSQL
of its own in a temporary folder, and ends it. Exit code 0: the winner was promoted on all its data, the other was not.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline_tests.orchestration.ramp_story import WORKSPACE, own_environment, own_store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, VariantSpec, add_requests, seed_experiment

HOURS = 300
RECENT = 48
PATIENCE_SECONDS = 900
EACH = 80
RATES = {"looks-better": ((0.14, 0.106), (0.10, 0.13)), "is-better": ((0.10, 0.14), (0.14, 0.10))}
"""Rates of control and treatment in the old hours, and in those of the look-back."""


def load(store: Store, name: str) -> None:
    """An experiment with its whole history, at once."""
    variants = (VariantSpec("control", is_control=True), VariantSpec("treatment"))
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    seeded = seed_experiment(store, name, variants, start=end - HOURS * HOUR, end=end)
    recent = end - RECENT * HOUR
    for part, start, until in ((0, seeded.start, recent), (1, recent, end)):
        requests = EACH * int((until - start) / HOUR)
        for arm, rate in zip(("control", "treatment"), RATES[name][part], strict=True):
            rows = VariantSpec(arm, requests=requests, conversions=round(rate * requests))
            add_requests(store, seeded, rows, start=start, end=until)


def decisions(store: Store) -> dict[str, tuple[str, int]]:
    """Verdict and sample of the newest decision of record, by experiment."""
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (e.name) e.name, d.verdict, d.sample_size FROM eligibility_decisions d"
            " JOIN ab_experiments e ON e.id = d.experiment_id ORDER BY e.name, d.hour DESC"
        ).fetchall()
    return {row["name"]: (row["verdict"], row["sample_size"]) for row in rows}


def promoted(store: Store) -> dict[str, int]:
    """Sample of every promotion, by experiment."""
    with store.connect() as connection:
        rows = connection.execute("SELECT experiment_name, sample_size FROM experiment_promotions").fetchall()
    return {row["experiment_name"]: row["sample_size"] for row in rows}


def main() -> int:
    """Tell the story."""
    with own_store() as store, open_instance(store) as instance:
        with store.connect() as connection:
            now, newest = database_now(connection), newest_complete_hour(connection)
        if now - newest > timedelta(minutes=45):
            time.sleep((newest + HOUR - now).total_seconds() + 1)
            now, newest = newest + HOUR + timedelta(seconds=1), newest + HOUR
        seed_experiment(store, "beside", NO_DIFFERENCE, start=newest - HOURS * HOUR, end=newest)
        rollup_window(store, newest - HOURS * HOUR, newest - HOUR)
        InProcess(instance, store, log_level="CRITICAL").run_hours(newest - HOUR, newest)
        for name in RATES:
            load(store, name)
        minute = (now + timedelta(minutes=4)).minute
        sys.stdout.write(f"loaded; the schedule ticks at minute {minute}\n")
        environment = os.environ | own_environment(store) | {"AUTO_PROMOTION_SCHEDULE_MINUTE": str(minute)}
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(WORKSPACE)]
        with process_group(
            command, environment, store.settings.home, Path(store.settings.home) / "daemon.log"
        ) as daemon:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "is-better" not in promoted(store):
                assert daemon.poll() is None, f"the daemon ended with {daemon.returncode}"
                assert time.monotonic() < deadline, f"nothing was promoted in {PATIENCE_SECONDS} s: {decisions(store)}"
                time.sleep(1)
        sys.stdout.write(f"decided: {decisions(store)}\npromoted: {promoted(store)}\n")
        return 0 if promoted(store) == {"is-better": EACH * HOURS} else 1


if __name__ == "__main__":
    sys.exit(main())
