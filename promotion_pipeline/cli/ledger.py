"""`ledger`: what each promotion promised and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json
from promotion_pipeline.text.numbers import interval_text, rate_text

if TYPE_CHECKING:
    from promotion_pipeline.promotion.ledger.ledger import Ledger, LedgerEntry, PromiseRecord

OneName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One experiment; none: all.", show_default=False)]
Refresh = Annotated[bool, typer.Option("--refresh", help="Measure first what is not final yet; reads the log.")]
PROMISES = {"measured": "as it won", "shrunken": "shrunken", "learned": "by the past"}


def register(app: typer.Typer) -> None:
    """Add `ledger`."""
    summary = "Show what each promotion promised and what came of it, and how the promises held altogether."
    app.command(
        "ledger",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline ledger",
            "promotion-pipeline ledger demo-checkout-button --refresh",
            "promotion-pipeline ledger --json",
            more="Promised: the lift as it was measured when it won, which is too large on average. Expected: after"
            " shrinkage. Came: winner over control in requests after the decision, with its interval. It takes control"
            " to measure: set holdback_percent. The schedule `realised_lift_schedule` and `auto-check` measure once a"
            " day.",
        ),
    )(ledger)


def ledger(name: OneName = None, refresh: Refresh = False, as_json: Json = False) -> None:
    """Show the ledger."""
    from promotion_pipeline.promotion.ledger.keeping import AT_ONCE, keep_ledger
    from promotion_pipeline.promotion.ledger.ledger import read_ledger
    from promotion_pipeline.promotion.record.experiments import experiments_named
    from promotion_pipeline.store.database import current_store

    store = current_store()
    if refresh:
        with output.progress("Measuring what promotions brought"):
            keep_ledger(store, every=AT_ONCE)
    found = read_ledger(name, store=store)
    if name is not None and not found.entries:
        # A name that is not known is an error, one that was never promoted is not.
        with store.connect() as connection:
            experiments_named(connection, [name])
    if as_json:
        output.print_json(found.to_json())
        return
    _print(found)


def _print(found: Ledger) -> None:
    from promotion_pipeline.promotion.ledger.wording import awaited_text

    if not found.entries:
        output.note("Nothing was promoted yet.")
        return
    output.print_table(["experiment", "promised", "expected", "came", "interval", ""], [_row(e) for e in found.entries])
    for entry in found.entries:
        if entry.metric not in (None, "conversion"):
            output.print_styled(f"{entry.experiment_name}: lifts are of {entry.metric}")
        if entry.goals:
            goals = ", ".join(map(repr, entry.goals))
            output.print_styled(f"{entry.experiment_name}: carried by {goals}, which are not measured here")
        if entry.number_from is not None:
            output.print_styled(f"{entry.experiment_name}: nothing measured yet{awaited_text(entry)}")
        if entry.because is not None:
            output.print_styled(f"{entry.experiment_name}: not measurable: {entry.because}")
    for record in found.programme:
        if record.promotions:
            output.print_styled(_sentence(record))
    output.note(
        f"{found.measured} measured, {found.measuring} being measured, {found.not_measurable} not measurable."
        " Lifts are those of each experiment's primary metric (conversion unless said); goals are not measured here."
        " Promised: as it won. Expected: after shrinkage."
        " Held: what came lies where the expectation said."
    )


def _row(entry: LedgerEntry) -> list[object]:
    return [
        entry.experiment_name,
        output.rate(entry.promised_lift, 1, signed=True),
        output.rate(entry.shrunken_lift, 1, signed=True),
        output.rate(entry.realised_lift, 1, signed=True),
        interval_text(entry.realised_lower, entry.realised_upper, unknown="-"),
        _state(entry),
    ]


def _state(entry: LedgerEntry) -> object:
    match entry.held:
        case True:
            return output.styled("held", "green")
        case False:
            return output.styled("not held", "yellow")
    if entry.state.value == "measuring" and entry.realised_lift is None:
        return "nothing yet"
    return {"measuring": "so far", "measured": "", "not_measurable": "-"}[entry.state.value]


def _sentence(record: PromiseRecord) -> str:
    return (
        f"{PROMISES[record.promise]}: {record.held} of {record.promotions} held"
        f" ({rate_text(record.held_lower, 0)} to {rate_text(record.held_upper, 0)}); of"
        f" {rate_text(record.promised_sum, 1, signed=True)} in sum"
        f" {rate_text(record.realised_sum, 1, signed=True)} came:"
        f" {rate_text(record.came_true, 0)}, error {rate_text(record.came_true_error, 0)}"
    )
