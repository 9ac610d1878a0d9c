"""`doctor`: is everything as it should be, and which command puts it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json

if TYPE_CHECKING:
    from promotion_pipeline.doctor import Finding

COLOURS = {"ok": "green", "advice": "yellow", "problem": "red", "down": "red", "skipped": "bright_black"}


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command(
        "doctor",
        short_help="Check the installation; name what is wrong and what fixes it.",
        help=examples(
            "Check database, schema, clocks, Dagster, data and channels. One line a check: OK, or what is wrong and the"
            " command that fixes it. Nothing is changed.",
            "promotion-pipeline doctor",
            "promotion-pipeline doctor --json",
            more="Exit code 0: all is well. 1: something is wrong. 5: the database is down.",
        ),
    )(doctor)


def doctor(as_json: Json = False) -> None:
    """Examine and report."""
    from promotion_pipeline.doctor import examine

    diagnosis = examine(on_finding=None if as_json else _tell)
    if as_json:
        output.print_json(diagnosis.to_json())
    else:
        wrong = sum(finding.status in {"problem", "down"} for finding in diagnosis.findings)
        output.note("all is well" if diagnosis.is_well else f"{wrong} of {len(diagnosis.findings)} checks failed")
    raise typer.Exit(diagnosis.exit_code)


def _tell(finding: Finding) -> None:
    """One line, never wrapped, so that a command can be copied."""
    label = "OK" if finding.status == "ok" else finding.status.value.upper()
    typer.secho(f"{label:<8}", fg=COLOURS[finding.status.value], nl=False)
    typer.echo(str(finding)[8:])
