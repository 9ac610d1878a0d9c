"""`auto-check`: watch, ramp, check and tell, as the hourly run does it, for cron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import By, DryRun, Json, ThresholdCommand, actor, takes_thresholds

if TYPE_CHECKING:
    from promotion_pipeline.promotion.record.models import AutoCheckResult

OUTCOME_STYLES = {
    "promoted": "green",
    "ramped": "green",
    "awaiting_approval": "yellow",
    "held": "yellow",
    "failed": "red",
}


def register(app: typer.Typer) -> None:
    """Add `auto-check`."""
    summary = "Check every running experiment, promote what may be promoted unattended, ask a person for the rest."
    app.command(
        "auto-check",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline auto-check --dry-run",
            "promotion-pipeline auto-check --by cron --json",
            "promotion-pipeline auto-check --require-manual-approval",
            more="It also watches what was promoted, takes the ramp steps that are due and delivers notifications, as"
            " the hourly run does. Exit code 1: at least one experiment could not be evaluated or acted upon, or what"
            " is missing of the log could not be read.",
        ),
    )(takes_thresholds(auto_check))


def auto_check(by: By = None, dry_run: DryRun = False, as_json: Json = False, config: Any = None) -> None:
    """Sweep over all running experiments."""
    if dry_run:
        from promotion_pipeline.cli.check import print_all
        from promotion_pipeline.evaluation.unattended import MadeBy
        from promotion_pipeline.promotion.judge.assess import judge
        from promotion_pipeline.store.database import current_store

        judged = judge(current_store(), None, config, made_by=MadeBy.SWEEP)
        found = [assessment.eligibility for assessment in judged.assessments]
        print_all(found, as_json)
        for eligibility in found:
            for over in eligibility.overruled:
                output.note(f"{eligibility.experiment_name}: {over.message}")
        output.note("Nothing changed: without --dry-run, the eligible ones are promoted or put to a person.")
        return
    from promotion_pipeline.cron import run_sweep

    with output.progress("Checking every running experiment"):
        result = run_sweep(actor(by), config)
    if as_json:
        output.print_json(result.to_json())
    else:
        _print(result)
    if result.failed or result.unread is not None:
        raise typer.Exit(1)


def _print(result: AutoCheckResult) -> None:
    rows = [
        [
            entry.experiment_name,
            output.styled(entry.outcome.value.replace("_", " "), OUTCOME_STYLES.get(entry.outcome.value, "")),
            entry.message,
        ]
        for entry in result.results
    ]
    if rows:
        output.print_table(["experiment", "outcome", "why"], rows)
    for seen in result.watched:
        style = {"breach": "bold red", "unmeasured": "yellow"}.get(seen.status, "")
        output.print_styled(f"{seen.experiment_name}: watch {seen.status}: {seen.message}", style)
    if result.unread is not None:
        output.print_styled(f"What is missing of the log was not read: {result.unread}", "bold red")
    sent = result.notifications
    output.note(
        f"{result.checked} checked, {result.promoted} promoted, {result.ramped} ramped,"
        f" {result.awaiting_approval} awaiting approval, {result.failed} failed, {result.recorded} decisions recorded"
        f" (as of {output.when(result.as_of)})"
        + ("" if sent is None else f"; {sent.delivered} messages delivered, {sent.waiting} waiting, {sent.dead} dead")
    )
