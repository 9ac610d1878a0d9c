"""`demo`: from nothing to a promoted and a rolled-back experiment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json
from promotion_pipeline.demo.experiments import DEFAULT_REQUESTS, FEWEST_REQUESTS
from promotion_pipeline.text.numbers import seconds_text

if TYPE_CHECKING:
    from promotion_pipeline.demo.run import DemoResult

Requests = Annotated[
    int, typer.Option("--requests", min=FEWEST_REQUESTS, metavar="N", help="How many requests to make.")
]
Force = Annotated[bool, typer.Option("--force", help="Also where other people's experiments are in the database.")]
STEPS = 6


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    summary = "Set up the database, make nine experiments, let the graph decide, promote, roll one back."
    app.command(
        "demo",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline demo",
            "AUTO_PROMOTION_HOME=/tmp/try promotion-pipeline demo --requests 200000",
            more="Runs again as often as you like: the experiments of an earlier demo are retired, their history stays."
            " Experiments that the demo did not make are never touched.",
        ),
    )(demo)


def demo(requests: Requests = DEFAULT_REQUESTS, force: Force = False, as_json: Json = False) -> None:
    """Run the demo and show what it did."""
    from promotion_pipeline.config import Settings
    from promotion_pipeline.store.database import open_store

    steps = output.Steps(STEPS)
    with contextlib.ExitStack() as stack:
        with steps.step("Start PostgreSQL and bring the schema up to date"):
            # Imported within the step, because it takes seconds that the user waits for.
            from promotion_pipeline.demo.run import run_demo

            store = stack.enter_context(open_store(Settings.from_environment()))
        result = run_demo(store, requests, force=force, step=steps.step)
    if store.settings.slack_token or store.settings.pagerduty_routing_key or store.settings.smtp_host:
        output.note("Notifications are configured: `dev` will deliver those of the demo too.")
    if as_json:
        output.print_json(_as_json(result, steps.seconds))
    else:
        _print(result, sum(steps.seconds.values()))


def _as_json(result: DemoResult, seconds: dict[str, float]) -> dict[str, object]:
    return {
        "requests": result.requests,
        "runs": list(result.run_ids),
        "experiments": [
            {"name": row.name, "story": row.story, "verdict": row.verdict, "why": row.why, "outcome": row.outcome}
            for row in result.rows
        ],
        "promotions": [promotion.to_json() for promotion in result.promotions],
        "rolledBack": result.rolled_back.to_json(),
        "seconds": {title: round(value, 2) for title, value in seconds.items()},
    }


def _print(result: DemoResult, seconds: float) -> None:
    from promotion_pipeline.cli.acts import print_rollback
    from promotion_pipeline.cli.check import verdict_cell
    from promotion_pipeline.cli.history import print_promotion

    output.print_line()
    output.print_table(
        ["experiment", "made to be", "verdict", "why", "outcome"],
        [[row.name, row.story, verdict_cell(row.verdict), row.why, row.outcome] for row in result.rows],
        title=f"{len(result.rows)} experiments, {result.requests:,} requests, as of {output.when(result.as_of)}",
    )
    shown = next(promotion for promotion in result.promotions if promotion.is_live)
    output.print_line("A promotion, made by the apply job that the sensor launched, with its snapshot:")
    print_promotion(shown)
    output.print_line("A rollback:")
    print_rollback(result.rolled_back)
    output.print_line()
    output.print_line(f"Done in {seconds_text(seconds, 0)}. What to type next:")
    for line in NEXT:
        output.print_line(f"  {output.program()} {line}")


NEXT = (
    "check demo-email-subject",
    "approve demo-payment-form --reason 'numbers are sound'",
    "history demo-search-ranking",
    "rollback demo-checkout-button --reason 'trying it out'",
    "release demo-search-ranking",
    "tokens create maria --role operator",
    "serve",
    "dev",
)
