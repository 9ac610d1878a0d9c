"""A job of one op that does nothing, in a file of its own: what Dagster itself costs a run."""

from __future__ import annotations

import dagster as dg


@dg.op
def nothing() -> None:
    """Nothing."""


@dg.job(executor_def=dg.in_process_executor)
def empty_run() -> None:
    """A run of one empty op."""
    nothing()


defs = dg.Definitions(jobs=[empty_run])
