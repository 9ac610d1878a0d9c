"""`notifications`: what was not delivered, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import By, Json, Name, actor
from promotion_pipeline.errors import InputError

if TYPE_CHECKING:
    from promotion_pipeline.notifications import Channel, Delivery, DeliveryId, DeliveryState
    from promotion_pipeline.store.database import Store

notifications_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

State = Annotated[
    str,
    typer.Option(
        "--state",
        metavar="STATE",
        help="pending, sending, uncertain, dead, delivered, all, or waiting (not delivered).",
    ),
]
ChannelName = Annotated[str | None, typer.Option("--channel", metavar="NAME", help="Only this one, for example slack.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `list` shows them, for example 17:slack.")]
MOST_SHOWN = 200


def register(app: typer.Typer) -> None:
    """Add `notifications` with its commands."""
    app.add_typer(
        notifications_app,
        name="notifications",
        short_help="See, replay and test notifications.",
        help=examples(
            "See what was not delivered, send it again, try the channels.",
            "promotion-pipeline notifications list --state dead",
            "promotion-pipeline notifications replay --all",
            "promotion-pipeline notifications test",
        ),
    )


@notifications_app.command(
    "list",
    short_help="Show notifications that wait or were given up.",
    help=examples(
        "Show notifications by state: pending ones are tried again by themselves, dead ones were given up, uncertain"
        " ones may have arrived.",
        "promotion-pipeline notifications list",
        "promotion-pipeline notifications list --state dead --channel slack --json",
    ),
)
def list_notifications(state: State = "waiting", channel: ChannelName = None, as_json: Json = False) -> None:
    """List deliveries."""
    from promotion_pipeline.notifications import list_deliveries

    found = list_deliveries(_store(), _states(state), channel=_channel(channel), limit=MOST_SHOWN)
    if as_json:
        output.print_json([delivery.to_json() for delivery in found])
    elif not found:
        output.note("nothing to show: everything is delivered" if state == "waiting" else f"none is {state}")
    else:
        _print(found)


@notifications_app.command(
    "replay",
    short_help="Send dead or uncertain notifications again.",
    help=examples(
        "Send notifications again that were given up or may not have arrived. What is delivered stays as it is.",
        "promotion-pipeline notifications replay 17:slack",
        "promotion-pipeline notifications replay --all --channel email",
        more="--all takes every dead one; uncertain ones, which may show twice, are named one by one.",
    ),
)
def replay_notifications(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead one.")] = False,
    channel: ChannelName = None,
    as_json: Json = False,
) -> None:
    """Replay deliveries."""
    from promotion_pipeline.notifications import DeliveryState, list_deliveries, replay

    store = _store()
    if everything and not ids:
        dead = list_deliveries(store, [DeliveryState.DEAD], channel=_channel(channel), limit=100_000)
        chosen = [delivery.id for delivery in dead]
    else:
        chosen = _parsed(ids, "or --all for every dead one")
    result = replay(store, chosen)
    if as_json:
        skipped = {str(one): reason for one, reason in result.skipped.items()}
        output.print_json({"replayed": [str(one) for one in result.replayed], "skipped": skipped})
    else:
        output.print_line(f"{len(result.replayed)} will be sent again; the next delivery run takes them")
    for one, reason in result.skipped.items():
        output.note(f"{one} left alone: {reason}")
    if result.skipped and not result.replayed:
        raise typer.Exit(1)


@notifications_app.command(
    "confirm",
    short_help="Say that an uncertain notification arrived.",
    help=examples(
        "Say that a notification of unknown fate arrived, because you see it in the channel; it is not sent again.",
        "promotion-pipeline notifications confirm 17:slack",
    ),
)
def confirm_notifications(ids: Ids = None) -> None:
    """Mark deliveries as arrived."""
    from promotion_pipeline.notifications import confirm

    chosen = _parsed(ids, "of an uncertain notification")
    confirmed = confirm(_store(), chosen)
    for one in chosen:
        output.note(f"{one} is delivered" if one in confirmed else f"{one} left alone: it is not uncertain")
    if len(confirmed) < len(chosen):
        raise typer.Exit(1)


@notifications_app.command(
    "resolve",
    short_help="Say that the warnings of a promotion were looked at.",
    help=examples(
        "Say that the warnings beside the newest promotion of an experiment were looked at; ends their incident.",
        "promotion-pipeline notifications resolve demo-payment-form --by maria --reason 'latency is known'",
    ),
)
def resolve(name: Name, reason: Annotated[str, typer.Option("--reason", metavar="TEXT")], by: By = None) -> None:
    """End the incident of a promotion with warnings."""
    from promotion_pipeline.promotion.act.warnings import acknowledge_warnings

    promotion = acknowledge_warnings(name, actor(by), reason)
    output.print_line(f"{name}: the warnings of the promotion of {promotion.promoted_variant_name} are settled")


@notifications_app.command(
    "deliver",
    short_help="Send what is due now.",
    help=examples(
        "Send what is due now, once. `promotion-pipeline dev` does this by itself; without Dagster a cron job may.",
        "promotion-pipeline notifications deliver",
        more="Exit code 1: messages were due, and none was delivered.",
    ),
)
def deliver_notifications(as_json: Json = False) -> None:
    """One pass of the delivery."""
    from promotion_pipeline.notifications import deliver_everything

    report = deliver_everything(_store())
    if as_json:
        output.print_json({channel: vars(done) for channel, done in report.channels.items()})
    else:
        for channel, done in report.channels.items():
            output.print_line(f"{channel}: {done.delivered} delivered" + (f"; {done.error}" if done.error else ""))
    if not report.channels:
        _no_channel_is_on()
    failed = [channel for channel, done in report.channels.items() if done.error and not done.delivered]
    if failed and not report.delivered:
        output.note(f"nothing was delivered by {', '.join(failed)}; see `notifications list`")
        raise typer.Exit(1)


@notifications_app.command(
    "test",
    short_help="Send one message to each channel.",
    help=examples(
        "Send one test message to each channel that is on; PagerDuty's is resolved at once.",
        "promotion-pipeline notifications test",
        "promotion-pipeline notifications test --channel slack",
    ),
)
def try_channels(channel: ChannelName = None, as_json: Json = False) -> None:
    """Try the channels."""
    from promotion_pipeline.config import Settings
    from promotion_pipeline.notifications import send_test_messages

    chosen = _channel(channel)
    results = send_test_messages(Settings.from_environment(), None if chosen is None else [chosen])
    if as_json:
        output.print_json([{**vars(result), "channel": result.channel.name} for result in results])
    else:
        for result in results:
            output.print_line(f"{result.channel.name}: {'OK' if result.works else result.message}")
    if not results:
        _no_channel_is_on()
    if not results or not all(result.works for result in results):
        raise typer.Exit(1)


def _print(deliveries: Sequence[Delivery]) -> None:
    columns = ("id", "state", "event", "experiment", "since", "attempts", "next", "error")
    rows = [
        (
            str(one.id),
            one.state.value,
            one.event,
            one.experiment_name or "-",
            output.when(one.created_at),
            one.attempts,
            _next(one),
            one.last_error or "-",
        )
        for one in deliveries
    ]
    output.print_table(columns, rows)
    if len(deliveries) == MOST_SHOWN:
        output.note(f"the first {MOST_SHOWN} are shown")


def _next(delivery: Delivery) -> str:
    """What happens by itself, or who has to do something."""
    if delivery.state.value == "delivered":
        return "-"
    return output.when(delivery.next_attempt_at) if delivery.next_attempt_at else "a person decides"


def _store() -> Store:
    from promotion_pipeline.store.database import current_store

    return current_store()


def _states(text: str) -> list[DeliveryState]:
    from promotion_pipeline.notifications.review import WAITING_STATES
    from promotion_pipeline.notifications.states import DeliveryState

    if text == "all":
        return list(DeliveryState)
    if text == "waiting":
        return list(WAITING_STATES)
    try:
        return [DeliveryState(text)]
    except ValueError:
        known = ", ".join([*(state.value for state in DeliveryState), "all", "waiting"])
        raise InputError(f"--state {text!r} is unknown: it is one of {known}") from None


def _channel(text: str | None) -> Channel | None:
    from promotion_pipeline.notifications import channel_named

    return None if text is None else channel_named(text)


def _no_channel_is_on() -> None:
    from promotion_pipeline.notifications.channels.registry import how_to_switch_on

    output.note(f"no channel is on: {how_to_switch_on()}")


def _parsed(ids: list[str] | None, hint: str) -> list[DeliveryId]:
    from promotion_pipeline.notifications import DeliveryId

    if not ids:
        raise InputError(f"say which: give ids as `promotion-pipeline notifications list` shows them, {hint}")
    return [DeliveryId.parse(text) for text in ids]
