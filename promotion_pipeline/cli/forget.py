"""`db forget-user`: a user's id, wherever it is kept."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import DryRun, Json, Yes, confirm

UserId = Annotated[str, typer.Argument(metavar="ID", help="The user's id, as it stands in the log.")]
KeepRequests = Annotated[
    bool, typer.Option("--keep-requests", help="Leave ai_requests alone: you take the id out of it yourself.")
]
MORE = """\
The id is replaced by a random mark in hourly_user_rollups, user_totals and ai_requests. Sums, decisions and promotions
stay as they are, and an hour that is rolled up again has the same sums. People who approved or promoted are named in
the history, which is not rewritten: where such a name is the same text, it says so.

A log outside of ai_requests, backups, and the application's own tables are yours: remove the id there first, or hours
that are read again bring it back."""


def add_to(db: typer.Typer) -> None:
    """Add the command to the group `db`."""
    summary = "Remove a user's id everywhere; the sums and every decision stay."
    db.command(
        "forget-user",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline db forget-user user-4711 --dry-run",
            "promotion-pipeline db forget-user user-4711 --yes",
            more=MORE,
        ),
    )(forget)


def forget(
    user_id: UserId,
    keep_requests: KeepRequests = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Forget one user."""
    from promotion_pipeline.errors import InputError
    from promotion_pipeline.rollups.postgresql.forgetting import forget_user
    from promotion_pipeline.store.database import current_store

    if not (dry_run or yes or sys.stdin.isatty()):
        raise InputError("this cannot be undone: without a terminal to ask at, say --yes (or --dry-run)")
    store = current_store()
    found = forget_user(store, user_id, requests=not keep_requests, dry_run=True)
    if not dry_run:
        _show(found.rows, "will be replaced by a random mark", note=True)
        confirm("This cannot be undone. Forget this user?", yes=yes)
        found = forget_user(store, user_id, requests=not keep_requests)
    if as_json:
        output.print_json(
            {"rows": found.rows, "requestsLeft": found.requests_left, "acts": found.acts, "dryRun": dry_run}
        )
    else:
        _show(found.rows, f"{'would be' if dry_run else 'were'} replaced by a random mark", note=False)
    if found.requests_left:
        output.note(
            f"{found.requests_left:,} rows of ai_requests still hold the id: take it out of them before the next hour,"
            " or hours that are read again bring it back."
        )
    if store.settings.source is not None:
        output.note("The request log is elsewhere (AUTO_PROMOTION_SOURCE): take the id out of it as well.")
    if found.acts:
        output.note(
            f"{found.acts:,} records name somebody of that name who acted (promoted, approved, rolled back): they are"
            " the history of acts, and stay."
        )


def _show(rows: dict[str, int], what: str, *, note: bool) -> None:
    counts = ", ".join(f"{count:,} of {table}" for table, count in rows.items())
    (output.note if note else output.print_line)(f"ids in {sum(rows.values()):,} rows {what}: {counts}")
