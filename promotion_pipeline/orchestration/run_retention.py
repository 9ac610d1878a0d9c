"""How long Dagster's runs and their events are kept: Dagster removes old ticks by itself, but never a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from promotion_pipeline.errors import InputError

PAGE = 500
"""Runs looked up at a time: a record holds the run's tags and config."""
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
SHORTEST = timedelta(days=1)
"""Sensors that look at how runs ended, and retries of runs that failed, are surely done with older ones."""


@dataclass(frozen=True)
class PrunedRuns:
    """What was removed, or would be."""

    removed: int
    """Runs with all their events and captured output."""
    kept: int
    """Runs as old, each the newest of its job."""


def prune_runs(
    instance: dg.DagsterInstance,
    before: datetime,
    now: datetime,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PrunedRuns:
    """Remove the runs that ended before a time, except the newest of each job.

    Each run is removed by itself: whoever is interrupted has removed some, and goes on where it stopped.

    Args:
        progress: called with the runs done and those to do.

    Raises:
        InputError: `before` is less than a day ago.
    """
    if now - before < SHORTEST:
        raise InputError(f"runs that ended after {(now - SHORTEST).isoformat()} are kept: ask for an earlier time")
    # Looked up first: a page begins after the last run of the one before, which must still be there.
    old = list(_ended_before(instance, before))
    newest = {job: _newest_run(instance, job) for job in {job for _, job in old}}
    chosen = [run_id for run_id, job in old if run_id != newest[job]]
    for done, run_id in enumerate([] if dry_run else chosen, start=1):
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        progress(done, len(chosen))
    return PrunedRuns(len(chosen), len(old) - len(chosen))


def _ended_before(instance: dg.DagsterInstance, before: datetime) -> Iterator[tuple[str, str]]:
    """Runs and their jobs, oldest first. A run's last update is never before its end."""
    cursor: str | None = None
    chosen = dg.RunsFilter(statuses=FINISHED, updated_before=before)
    while records := instance.get_run_records(chosen, limit=PAGE, cursor=cursor, ascending=True):
        for record in records:
            yield record.dagster_run.run_id, record.dagster_run.job_name
        cursor = records[-1].dagster_run.run_id


def _newest_run(instance: dg.DagsterInstance, job: str) -> str:
    (newest,) = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    return newest.dagster_run.run_id
