"""`db drop-requests`: old days of the request log."""

from __future__ import annotations

from typing import Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import DryRun, Json

KeepDays = Annotated[
    int, typer.Option("--keep-days", metavar="N", max=36_500, help="Keep the days that ended less than N days ago.")
]


def add_to(db: typer.Typer) -> None:
    """Add the command to the group `db`."""
    summary = "Drop the requests of old days; what was summed up and decided stays."
    db.command(
        "drop-requests",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline db drop-requests --keep-days 90 --dry-run",
            "promotion-pipeline db drop-requests --keep-days 90",
            more="Only ai_requests as the product made it is kept by the day; in a table of your own, delete rows as"
            " you are used to. A day with hours that were never rolled up is kept. The hourly run does the same by"
            " itself where AUTO_PROMOTION_KEEP_REQUESTS_DAYS is set.",
        ),
    )(drop_requests)


def drop_requests(keep_days: KeepDays, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Drop what is older than asked."""
    from promotion_pipeline.rollups.postgresql.days import drop_old_days
    from promotion_pipeline.store.database import current_store

    found = drop_old_days(current_store(), keep_days, dry_run=dry_run)
    if as_json:
        output.print_json(
            {
                "dropped": [day.isoformat() for day in found.days],
                "kept": [day.isoformat() for day in found.kept],
                "dryRun": dry_run,
            }
        )
        return
    span = f", {found.days[0]} to {found.days[-1]}" if found.days else ""
    output.print_line(f"{len(found.days)} days {'would be' if dry_run else 'were'} dropped{span}")
    if found.kept:
        output.note(
            f"{len(found.kept)} older days are kept: hours of {found.kept[0]} were never rolled up. Roll them up with"
            f" `promotion-pipeline evaluate --from {found.kept[0]}`, then drop again."
        )
