"""`history`: every promotion of an experiment, and what else happened to it, newest first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, Name
from promotion_pipeline.text.numbers import interval_text, measure_text, rate_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promotion_pipeline.promotion.history.happened import Happened
    from promotion_pipeline.promotion.record.models import MetricResult, Promotion

Verify = Annotated[
    bool, typer.Option("--verify", help="Recompute each decision from the log of the requests and compare.")
]
Shadow = Annotated[bool, typer.Option("--shadow", help="Show what shadow mode would have promoted instead.")]


def register(app: typer.Typer) -> None:
    """Add `history`."""
    summary = "Show every promotion of an experiment and everything else that happened to it, newest first."
    app.command(
        "history",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline history demo-checkout-button",
            "promotion-pipeline history demo-checkout-button --verify",
            "promotion-pipeline history demo-checkout-button --json",
            more="Exit code 1: --verify found a promotion whose decision does not follow from the data any more.",
        ),
    )(history)


def history(name: Name, verify: Verify = False, shadow: Shadow = False, as_json: Json = False) -> None:
    """Show the promotions of one experiment, and its events."""
    from promotion_pipeline.cli.live import print_alarms
    from promotion_pipeline.promotion.history.happened import events_of
    from promotion_pipeline.promotion.history.history import get_promotion_history
    from promotion_pipeline.promotion.watch.alarms import alarms_of

    if verify:
        _verify(name, shadow, as_json)
        return
    found = get_promotion_history(name, shadow=shadow)
    alarms, events = alarms_of(name), events_of(name)
    if not as_json:
        print_alarms(alarms)
    if as_json:
        shown = [promotion.to_json() for promotion in found]
        output.print_json(
            {
                "experimentName": name,
                "history": shown,
                "count": len(shown),
                "latestPromotion": shown[0] if shown else None,
                "alarms": [alarm.to_json() for alarm in alarms],
                "events": [event.to_json() for event in events],
            }
        )
        return
    if not found:
        output.note(f"{name!r} was never promoted{' in shadow mode' if shadow else ''}.")
    else:
        rows = [_row(promotion) for promotion in found]
        output.print_table(["promoted", "winner", "lift", "confidence", "how", "state", "rolled back because"], rows)
        _print_metrics(found)
        if not shadow:
            _print_outcomes(name)
    if events:
        _print_events(events)


def _print_metrics(found: Sequence[Promotion]) -> None:
    """The stated metrics of each winner, as they were seen when it was promoted."""
    from promotion_pipeline.promotion.judge.eligibility import metric_result

    for promotion in found:
        seen = [metric_result(row) for row in promotion.snapshot.get("metrics", ())]
        lines = [_metric_line(one) for one in seen if one.variant_name == promotion.promoted_variant_name]
        if lines:
            output.print_styled(f"{promotion.promoted_variant_name}, {output.when(promotion.promoted_at)}, stood at:")
        for line in lines:
            output.print_styled(f"  {line}")


def _metric_line(found: MetricResult) -> str:
    """What a stated metric was, on one line."""
    if found.lift is None:
        return f"{found.role} {found.metric!r}: {found.message}"
    return (
        f"{found.role} {found.metric!r}: {measure_text(found.control_estimate)} -> {measure_text(found.estimate)},"
        f" {rate_text(found.lift, signed=True)}"
        f" ({interval_text(found.always_valid_lower, found.always_valid_upper)} at every look): {found.message}"
    )


def _print_outcomes(name: str) -> None:
    """What each promotion promised and what came of it."""
    from promotion_pipeline.promotion.ledger.ledger import read_ledger
    from promotion_pipeline.promotion.ledger.wording import outcome_sentence

    for entry in read_ledger(name).entries:
        output.print_styled(f"{entry.winner}, {output.when(entry.promoted_at)}: {outcome_sentence(entry)}")


def _print_events(events: Sequence[Happened]) -> None:
    rows = [[output.when(event.at), event.actor, event.details, event.reason or "-"] for event in events]
    output.print_table(["at", "who", "what", "reason"], rows, title="Everything that happened")


def _verify(name: str, shadow: bool, as_json: bool) -> None:
    from promotion_pipeline.promotion.history.verify import verify_history

    with output.progress(f"Recomputing the decisions about {name}"):
        found = verify_history(name, shadow=shadow)
    if as_json:
        output.print_json([each.to_json() for each in found])
    for each in found if not as_json else ():
        output.print_styled(
            f"{each.promoted_variant_name}, decided as of {output.when(each.as_of)}: {each.summary}",
            "green" if each.is_same else "red" if each.is_flipped else "yellow",
        )
    if not found:
        output.note(f"{name!r} was never promoted: there is nothing to verify.")
    if any(each.is_flipped for each in found):
        raise typer.Exit(1)


def _row(promotion: Promotion) -> list[object]:
    """What is known: of a promotion that was recorded before us, not everything is."""
    from promotion_pipeline.promotion.record.queries import NOT_RECORDED

    ended = promotion.rollback_reason or ""
    if promotion.rollback_at is not None:
        known = [
            promotion.reverser if promotion.rolled_back_by != NOT_RECORDED else None,
            output.when(promotion.rollback_at),
            f"to {promotion.rollback_to}" if promotion.rollback_to else None,
        ]
        ended = f"{ended} ({', '.join(filter(None, known))})".strip()
    return [
        output.when(promotion.promoted_at),
        promotion.promoted_variant_name,
        output.percent(promotion.improvement, signed=True),
        output.confidence(promotion.confidence),
        promotion.promotion_type
        if promotion.promoted_by == NOT_RECORDED
        else f"{promotion.promotion_type} by {promotion.promoter}",
        _state(promotion),
        ended or "-",
    ]


def _state(promotion: Promotion) -> str:
    """The state, and what the watch says of it while it is watched or something is open."""
    state, watch = str(promotion.state).replace("_", " "), promotion.watch
    if promotion.rollback_to == "close":
        return "closed"
    if watch is None or not promotion.is_live:
        return state
    if watch.breached_at is not None:
        return f"{state}, BREACH since {output.when(watch.breached_at)}"
    kept = f", breach kept by {watch.acknowledged_by}" if watch.acknowledged_by else ""
    return f"{state}, {watch.status} at {output.when(watch.looked_at)}{kept}"


def print_promotion(promotion: Promotion) -> None:
    """One promotion with its snapshot: what was seen, what the traffic was and is."""
    output.print_styled(
        f"{promotion.experiment_name}: {promotion.promoted_variant_name} promoted"
        f" ({promotion.promotion_type} by {promotion.promoter}, {output.when(promotion.promoted_at)})",
        "bold green",
    )
    output.print_styled(
        f"  {output.percent(promotion.improvement, signed=True)} over {promotion.control_variant_name}"
        f" at {output.confidence(promotion.confidence)} confidence,"
        f" {output.number(promotion.sample_size)} requests in the smaller arm,"
        f" evidence {str(promotion.evidence).replace('_', ' ')},"
        f" as of {output.when(promotion.evaluated_as_of)}"
    )
    for warning in promotion.warnings:
        output.print_styled(f"  ! {warning}", "yellow")
    output.print_table(
        ["variant", "requests", "conversion", "errors", "traffic before", "after"], _snapshot_rows(promotion)
    )
    if len(promotion.ramp_percents) > 1:
        output.print_styled(f"  {_ramp_text(promotion)}")


def _ramp_text(promotion: Promotion) -> str:
    """The step of a ramp or holdback that stands, and those that follow."""
    percents = promotion.ramp_percents
    now, *following = percents[promotion.ramp_step :]
    then = ", then " + ", ".join(map(output.share, following)) if following else ", its last step"
    if promotion.is_held_back:
        over = output.when(promotion.step_started_at + timedelta(hours=promotion.hold_hours))
        return f"holdback: {output.share(now)} now, control keeps {output.share(100.0 - now)} until {over}{then}"
    held = f" (each step held for {promotion.hold_hours:g} h and watched)" if following else ""
    return f"ramp: {output.share(now)} now{then}{held}"


def _snapshot_rows(promotion: Promotion) -> list[list[object]]:
    snapshot = promotion.snapshot
    before, after = snapshot["split_before"], promotion.split_now
    return [
        [
            f"{variant['variant_name']} (control)" if variant["is_control"] else variant["variant_name"],
            output.number(variant["requests"]),
            output.rate(variant["conversion_rate"]),
            output.rate(variant["error_rate"]),
            output.share(before[variant["variant_id"]]),
            output.share(after[variant["variant_id"]]),
        ]
        for variant in snapshot["variants"]
    ]
