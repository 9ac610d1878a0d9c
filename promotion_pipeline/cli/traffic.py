"""`traffic`: what is decided and what is served, and what a person does where the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output, traffic_export
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.live import RequiredReason, is_to_be_done, print_delivery, print_stands
from promotion_pipeline.cli.options import By, DryRun, Json, Name, Reason, Yes, actor, confirm
from promotion_pipeline.cli.output import shell_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promotion_pipeline.traffic.deliveries import TrafficDelivery
    from promotion_pipeline.traffic.splits import TrafficSplit

Read = Annotated[bool, typer.Option("--read", help="Ask every target and the log now; else the last hour's answers.")]

STATE_STYLES = {"verified": "green", "conflicted": "bold red", "failed": "bold red", "superseded": "dim"}

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help=examples(
        "What is decided, served and observed, of every experiment; and what to do where they differ.",
        "promotion-pipeline traffic",
        "promotion-pipeline traffic --read",
        "promotion-pipeline traffic --json",
        "promotion-pipeline traffic adopt demo-checkout-button",
        "promotion-pipeline traffic overwrite demo-checkout-button --reason 'the deploy restored an old split'",
        "promotion-pipeline traffic retry demo-checkout-button",
        "promotion-pipeline traffic export flags.json",
        more="Served is what each target said when it was read last, observed what the log shows since then, at most of"
        " a day. Exit code 1: they differ, or a target cannot be read.",
    ),
)


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="traffic", short_help="What is decided, served and observed, of every experiment.")
    traffic_export.add_to(app)


@app.callback()
def traffic(context: typer.Context, read: Read = False, as_json: Json = False) -> None:
    """List the splits."""
    if context.invoked_subcommand is not None:
        return
    from promotion_pipeline.promotion.record.served import ServedTraffic
    from promotion_pipeline.promotion.unattended.comparing import compare_traffic
    from promotion_pipeline.store.database import current_store
    from promotion_pipeline.traffic.splits import traffic_splits

    store = current_store()
    if read:
        with output.progress("Reading back what is served"):
            compare_traffic(store)
    with store.connect() as connection:
        found = traffic_splits(connection)
    if as_json:
        output.print_json([ServedTraffic.of(split).to_json() for split in found])
    else:
        _print_splits(found)
    if not all(split.is_well for split in found):
        raise typer.Exit(1)


@app.command(
    "adopt",
    short_help="Take the split that somebody else made the target serve.",
    help=examples(
        "Take the split that somebody else made the target serve as the decided one; a new phase begins.",
        "promotion-pipeline traffic adopt demo-checkout-button --by maria --reason 'agreed with the shop team'",
        more="A live promotion stays recorded; to end it as well: promotion-pipeline rollback NAME --to close",
    ),
)
def adopt(name: Name, by: By = None, reason: Reason = None, yes: Yes = False, as_json: Json = False) -> None:
    """Adopt theirs."""
    from promotion_pipeline.promotion.act.reconciling import adopt_traffic

    confirm(f"Take over the split that is served for {name!r}?", yes=yes)
    _print(name, adopt_traffic(name, actor(by), reason=reason), as_json=as_json)


@app.command(
    "overwrite",
    short_help="Put the decided split back after somebody else changed it.",
    help=examples(
        "Put the decided split back: over an edit of the target, or over one of our own table after a promotion, where"
        " the experiment is stopped again as well.",
        "promotion-pipeline traffic overwrite demo-checkout-button --dry-run --reason x",
        "promotion-pipeline traffic overwrite demo-checkout-button --reason 'the deploy restored an old split'",
        more="To keep what stands instead, and end the promotion:"
        " promotion-pipeline rollback NAME --to close --reason TEXT",
    ),
)
def overwrite(
    name: Name,
    reason: RequiredReason,
    by: By = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a split back."""
    from promotion_pipeline.promotion.act.reconciling import is_in_conflict, overwrite_traffic

    if is_in_conflict(name):
        said = f"serve the decided split of {name!r} again, over somebody else's edit"
        if dry_run:
            output.note(f"Would {said}. Nothing changed.")
            return
        confirm(f"{said[0].upper()}{said[1:]}?", yes=yes)
        delivery = overwrite_traffic(name, reason, actor(by))
        _print(name, _waited(delivery), as_json=as_json)
        return
    _overwrite_our_table(name, reason, by, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(
    "retry",
    short_help="Try again to bring the decided split to the target.",
    help=examples(
        "Begin the attempts at the newest delivery anew, whatever stopped them.",
        "promotion-pipeline traffic retry demo-checkout-button",
    ),
)
def retry(name: Name, by: By = None, as_json: Json = False) -> None:
    """Try again."""
    from promotion_pipeline.promotion.act.reconciling import retry_traffic

    _print(name, _waited(retry_traffic(name, actor(by))), as_json=as_json)


def _overwrite_our_table(name: str, reason: str, by: str | None, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    from promotion_pipeline.promotion.act.keeping import overwrite_split, plan_overwrite
    from promotion_pipeline.text.numbers import split_text

    plan = plan_overwrite(name)
    said = f"set the traffic of {name!r} from {split_text(plan.before)} back to {split_text(plan.split)}"
    if not is_to_be_done(plan, said, ", and stop the experiment.", dry_run=dry_run, as_json=as_json, yes=yes):
        return
    promotion = overwrite_split(name, reason, actor(by))
    print_delivery(promotion)
    said = f"the split of the promotion of {promotion.promoted_variant_name} is back"
    print_stands(promotion, said, "bold", as_json=as_json)


def _print_splits(found: Sequence[TrafficSplit]) -> None:
    from promotion_pipeline.text.numbers import age_text, split_text

    rows = [
        [
            split.experiment_name,
            split.target,
            output.styled(state := split.state or "-", STATE_STYLES.get(state, "yellow")),
            split_text(split.decided),
            "not read yet" if split.served is None else split_text(split.served),
            _observed(split),
            "-" if split.read_age_seconds is None else f"{age_text(split.read_age_seconds)} ago",
        ]
        for split in found
    ]
    output.print_table(["experiment", "target", "delivery", "decided", "served", "observed", "read"], rows)
    for split in found:
        if split.sentence is not None:
            output.print_styled(f"! {split.experiment_name}: {split.sentence}", "bold red")
        if split.unobserved is not None:
            output.note(f"{split.experiment_name}: the log could not be asked: {split.unobserved}")


def _observed(split: TrafficSplit) -> str:
    from promotion_pipeline.text.numbers import count_text, split_text

    if split.observed is None:
        return "-" if split.observed_total is None else "nobody yet"
    return f"{split_text(split.observed)} of {count_text(split.observed_total)} {split.observed_unit}"


def _waited(delivery: TrafficDelivery) -> TrafficDelivery:
    from promotion_pipeline.promotion.act.serving import wait_until_served
    from promotion_pipeline.store.database import current_store

    with output.progress("Waiting until it is served"):
        return wait_until_served(current_store(), delivery.experiment_id) or delivery


def _print(name: str, delivery: TrafficDelivery, *, as_json: bool) -> None:
    from promotion_pipeline.promotion.act.serving import delivery_sentence

    if as_json:
        state = {"experimentName": name, "target": delivery.target, "state": delivery.state, "error": delivery.error}
        output.print_json({**state, "generation": delivery.generation})
    else:
        output.print_line(f"{name}: {delivery_sentence(delivery) or 'served'}")
    if delivery.is_under_way:
        output.note(f"To see what became of it: {output.program()} traffic")
    elif delivery.state != "verified":
        output.note(f"To try again: {output.program()} traffic retry {shell_name(name)}")
        raise typer.Exit(1)
