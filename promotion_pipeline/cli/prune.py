"""`db prune-runs`: old runs of Dagster's event log."""

from __future__ import annotations

from typing import Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import DryRun, Json

OlderThan = Annotated[
    int,
    typer.Option(
        "--older-than-days", metavar="N", min=1, max=36_500, help="Remove runs that ended more than N days ago."
    ),
]
MORE = """\
Removed are the run, its events and its captured output; the newest run of each job stays, whatever its age.
What was rolled up, decided and promoted is in the product's own tables and stays.

In Dagster's UI the hours of a removed run then count as missing: their materializations were events of that run. Do
not fill them with a backfill of missing hours. Results of asset checks, the record of backfills and the newest
materialization of each asset stay. Old ticks need no command: dagster.yaml says how long they are kept.

The instance is that of DAGSTER_HOME, else the one of `promotion-pipeline dev`. The space is used again once
PostgreSQL has vacuumed the table, which it does by itself."""


def add_to(db: typer.Typer) -> None:
    """Add the command to the group `db`."""
    summary = "Remove old runs from Dagster's event log; Dagster itself keeps them for good."
    db.command(
        "prune-runs",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline db prune-runs --older-than-days 90 --dry-run",
            "promotion-pipeline db prune-runs --older-than-days 90",
            more=MORE,
        ),
    )(prune)


def prune(older_than_days: OlderThan, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove what is older than asked."""
    from datetime import timedelta

    from promotion_pipeline.orchestration.instance import open_configured_instance
    from promotion_pipeline.orchestration.run_retention import prune_runs
    from promotion_pipeline.store.clock import database_now
    from promotion_pipeline.store.database import current_store

    store = current_store()
    with store.connect() as connection:
        now = database_now(connection)
    before = now - timedelta(days=older_than_days)
    with open_configured_instance(store) as instance, output.progress("Prune") as advance:
        found = prune_runs(
            instance, before, now, dry_run=dry_run, progress=lambda done, total: advance(done / max(total, 1))
        )
    if as_json:
        output.print_json(
            {"removed": found.removed, "kept": found.kept, "endedBefore": before.isoformat(), "dryRun": dry_run}
        )
        return
    verb = "would be" if dry_run else "were"
    output.print_line(f"{found.removed:,} runs that ended before {output.when(before)} {verb} removed")
    if found.kept:
        output.note(f"{found.kept:,} as old are kept: each is the newest of its job.")
