"""`watch`, `advance`, `acknowledge`: what is done about a promotion that is live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import By, DryRun, Json, Name, Reason, Yes, actor, confirm
from promotion_pipeline.cli.output import shell_name
from promotion_pipeline.errors import DependencyError

if TYPE_CHECKING:
    from promotion_pipeline.promotion.act.keeping import OverwritePlan
    from promotion_pipeline.promotion.act.ramp import NextStep
    from promotion_pipeline.promotion.act.rollback import RollbackPlan
    from promotion_pipeline.promotion.record.models import Promotion
    from promotion_pipeline.promotion.record.watched import Alarm
    from promotion_pipeline.promotion.unattended.watch import WatchResult

RequiredReason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the history.", show_default=False)
]
ToPercent = Annotated[
    float | None,
    typer.Option("--to-percent", metavar="PERCENT", help="The step that is meant; a conflict if it is not the next."),
]
WatchedBy = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who does it, for the history; default: promotion_watch.")
]
STATUS_STYLES = {"clean": "green", "breach": "bold red", "unmeasured": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    summary = "Look once at everything that was promoted: tell people what is wrong, roll back where that is on."
    app.command(
        "watch",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline watch",
            "*/5 * * * * promotion-pipeline watch --json   (in a crontab, where no Dagster daemon runs)",
            more="Dagster's `watch_sensor` does the same every five minutes. Exit code 1: a winner is worse than it was"
            " and was not rolled back; 5: the request log cannot be read.",
        ),
    )(watch)
    summary = "Take the next step of a ramp now, also where the watch cannot measure."
    app.command(
        "advance",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline advance demo-payment-form --dry-run",
            "promotion-pipeline advance demo-payment-form --by maria --reason 'looked at the dashboards'",
            "promotion-pipeline advance demo-payment-form --to-percent 100 --yes",
            more="Without it a ramp goes on by itself, when its step was held and the watch was clean.",
        ),
    )(advance)
    summary = "Keep a promotion although the watch found its winner worse."
    app.command(
        "acknowledge",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline acknowledge demo-payment-form --by maria --reason 'the bank was down'",
            more="The alarm ends; what got worse raises none again until it was well in between, anything else does."
            " To undo the promotion instead: promotion-pipeline rollback NAME --to control --reason TEXT",
        ),
    )(acknowledge)


def watch(by: WatchedBy = None, as_json: Json = False) -> None:
    """Look once."""
    from promotion_pipeline.notifications import deliver_everything
    from promotion_pipeline.promotion.unattended.watch import watch_promotions
    from promotion_pipeline.store.database import current_store

    store = current_store()
    with output.progress("Looking at what was promoted"):
        found = watch_promotions(store, actor=by or "promotion_watch")
    if as_json:
        output.print_json([result.to_json() for result in found])
    else:
        _print(found)
    for channel, done in deliver_everything(store).channels.items():
        if done.error:
            output.note(f"{channel}: {done.error}")
    if any(result.is_harmed for result in found):
        raise typer.Exit(1)
    if any(result.is_unreadable for result in found):
        raise typer.Exit(DependencyError.exit_code)


def _print(found: Sequence[WatchResult]) -> None:
    if not found:
        output.note("Nothing is watched: no promotion of the last days, and every older one has the split it set.")
        return
    rows = [
        [
            result.experiment_name,
            result.winner,
            output.styled(result.status.value, STATUS_STYLES[result.status.value]),
            output.number(result.requests),
            result.action.value.replace("_", " "),
            result.message,
        ]
        for result in sorted(found, key=lambda one: (not one.is_harmed, one.experiment_name))
    ]
    output.print_table(["experiment", "winner", "status", "requests", "done", "what was seen"], rows)


def print_alarms(alarms: Sequence[Alarm]) -> None:
    """What is wrong with a live promotion, before anything else, and what to type."""
    for alarm in alarms:
        output.print_styled(f"! {alarm.experiment_name}: {alarm.sentence}", "bold red")
        for way in alarm.commands:
            output.print_styled(f"    {way}")


def is_to_be_done(
    plan: RollbackPlan | NextStep | OverwritePlan,
    said: str,
    more: str,
    *,
    dry_run: bool,
    as_json: bool,
    yes: bool,
    must_ask: bool = False,
) -> bool:
    """Say what an act would do, in a dry run; else ask whether it shall be done.

    Args:
        said: what it does, in words that follow "Would".
        more: what follows them in a dry run, with the full stop.
        must_ask: without a terminal to ask at, `yes` is needed.
    """
    if not dry_run:
        confirm(f"{said[0].upper()}{said[1:]}?", yes=yes, is_needed=must_ask)
        return True
    if as_json:
        # As after the act, but the traffic as it stands, and beside it what it would become.
        traffic, after = ({name: float(share) for name, share in split.items()} for split in (plan.before, plan.split))
        output.print_json({"promotion": plan.promotion.to_json(), "traffic": traffic, "trafficAfter": after})
    output.note(f"Would {said}{more} Nothing changed.")
    return False


def print_stands(promotion: Promotion, said: str, style: str, *, as_json: bool) -> None:
    """What an act on a live promotion did, and the split that results; or its `data` as JSON."""
    from promotion_pipeline.promotion.history.standing import traffic_now
    from promotion_pipeline.text.numbers import split_text

    traffic = traffic_now(promotion.experiment_name)
    if as_json:
        output.print_json({"promotion": promotion.to_json(), "traffic": traffic})
        return
    output.print_styled(f"{promotion.experiment_name}: {said}", style)
    output.print_styled(f"  decided split: {split_text(traffic)}")


def print_delivery(promotion: Promotion) -> None:
    """After an act: wait a while until what it decided is served, and say on stderr what is the state."""
    from promotion_pipeline.promotion.act.serving import delivery_sentence, served_or_said

    said = delivery_sentence(served_or_said(promotion))
    if said is not None:
        output.note(f"{promotion.experiment_name}: {said}")


def advance(
    name: Name,
    by: By = None,
    reason: Reason = None,
    to_percent: ToPercent = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take the next step of a ramp."""
    from promotion_pipeline.promotion.act.ramp import advance_ramp, plan_advance
    from promotion_pipeline.text.numbers import split_text

    plan = plan_advance(name, to_percent=to_percent)
    said = f"set the traffic of {name!r} from {split_text(plan.before)} to {split_text(plan.split)}"
    if not is_to_be_done(plan, said, ".", dry_run=dry_run, as_json=as_json, yes=yes):
        return
    # By its percent, so that it is a conflict, not one step more, if somebody else took this step meanwhile.
    promotion = advance_ramp(name, actor(by), reason=reason, to_percent=plan.percent)
    print_delivery(promotion)
    print_stands(
        promotion, f"{promotion.promoted_variant_name} has {output.share(plan.percent)}", "bold green", as_json=as_json
    )
    if not as_json:
        output.note(f"To undo: {output.program()} rollback {shell_name(name)} --reason TEXT")


def acknowledge(name: Name, reason: RequiredReason, by: By = None, as_json: Json = False) -> None:
    """Acknowledge a breach."""
    from promotion_pipeline.promotion.act.keeping import acknowledge_breach

    promotion = acknowledge_breach(name, reason, actor(by))
    said = f"the breach is acknowledged, {promotion.promoted_variant_name} stays"
    print_stands(promotion, said, "bold yellow", as_json=as_json)
