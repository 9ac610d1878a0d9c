"""`check`: what the checks say of one experiment, or of all that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import AsOf, Json, ThresholdCommand, parse_time, takes_thresholds
from promotion_pipeline.errors import NotEligibleError
from promotion_pipeline.text.numbers import interval_text, measure_text, rate_text, share_text, split_text

if TYPE_CHECKING:
    from promotion_pipeline.promotion.record.models import MetricResult, PromotionEligibility, StandingPromotion

VERDICT_STYLES = {
    "eligible": "green",
    "not_yet": "yellow",
    "rejected": "red",
    "inconclusive": "magenta",
    "error": "red",
}
NameOrNone = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Name of the experiment; none: all that run.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add `check`."""
    summary = "Say whether an experiment has a winner, and why; changes nothing."
    app.command(
        "check",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline check demo-checkout-button",
            "promotion-pipeline check demo-checkout-button --min-confidence-level 99 --json",
            "promotion-pipeline check demo-checkout-button --as-of 2026-03-01T12:00Z",
            "promotion-pipeline check",
            more="Without a name: every running experiment in a table. Exit code 3: the named one is not eligible.",
        ),
    )(takes_thresholds(check))


def check(name: NameOrNone = None, as_of: AsOf = None, as_json: Json = False, config: Any = None) -> None:
    """Check one experiment, or all that run."""
    from promotion_pipeline.promotion.judge.assess import assess
    from promotion_pipeline.store.database import current_store

    at = parse_time(as_of, "--as-of")
    with output.progress("Evaluating"):
        found = assess(current_store(), None if name is None else [name], config, as_of=at)
    if name is None:
        print_all(found, as_json)
        return
    eligibility = found[0]
    if as_json:
        output.print_json(eligibility.to_json())
    else:
        print_eligibility(eligibility)
        _print_next(eligibility)
    if not eligibility.is_eligible:
        raise typer.Exit(NotEligibleError.exit_code)


def print_all(found: list[PromotionEligibility], as_json: bool) -> None:
    """Every experiment in a table, or as JSON."""
    from promotion_pipeline.cli.live import print_alarms
    from promotion_pipeline.promotion.watch.alarms import open_alarms

    if not as_json:
        # Of all experiments: a promoted one does not run, so it is not among those that are checked.
        print_alarms([alarm for alarms in open_alarms().values() for alarm in alarms])
    if as_json:
        output.print_json([eligibility.to_json() for eligibility in found])
    elif not found:
        output.note(f"No experiment runs. `{output.program()} demo` makes some.")
    else:
        output.print_table(["experiment", "verdict", "candidate", "lift", "confidence", "why"], [*map(_row, found)])


def _row(eligibility: PromotionEligibility) -> list[object]:
    return [
        eligibility.experiment_name,
        verdict_cell(eligibility.verdict),
        eligibility.candidate or "-",
        output.percent(eligibility.improvement, signed=True),
        output.confidence(eligibility.confidence),
        why(eligibility),
    ]


def verdict_cell(verdict: str) -> Any:
    """A verdict in its colour."""
    return output.styled(str(verdict).replace("_", " "), VERDICT_STYLES[str(verdict)])


def why(eligibility: PromotionEligibility) -> str:
    """The one line that explains a verdict in a table."""
    first = [f"the numbers cannot be trusted: {eligibility.distrust}"] if eligibility.distrust is not None else []
    withheld = eligibility.evidence.withheld
    if not eligibility.is_eligible or not withheld:
        return "; ".join([*first, *eligibility.reasons])
    held = ", ".join(reason.value.replace("_", " ") for reason in withheld)
    return "; ".join([*first, f"not unattended: {held}", *eligibility.warnings])


def print_eligibility(eligibility: PromotionEligibility) -> None:
    """One experiment for a person: verdict, checks with both numbers, evidence, variants, what to type next."""
    from promotion_pipeline.cli.live import print_alarms

    print_alarms(eligibility.alarms)
    if eligibility.promotion is not None:
        _print_promoted(eligibility, eligibility.promotion)
        return
    name, verdict = eligibility.experiment_name, str(eligibility.verdict)
    output.print_styled(f"{name}: {verdict.replace('_', ' ')}", f"bold {VERDICT_STYLES[verdict]}")
    if eligibility.distrust is not None:
        output.print_styled(f"THE NUMBERS CANNOT BE TRUSTED: {eligibility.distrust}", "bold red")
    output.print_styled(f"{eligibility.summary} (as of {output.when(eligibility.as_of)})")
    if eligibility.primary_metric is not None:
        output.print_styled(f"  {_primary(eligibility)}")
    # Where the input is wrong nothing was counted: a row of failed checks would hide why.
    checks = () if verdict == "error" else eligibility.checks
    for item in checks:
        mark, style = ("✓", "green") if item.passed else ("✗", "red")
        output.print_styled(f"  {mark} {item.message}", style)
    shown = {item.message for item in eligibility.checks}
    for reason in eligibility.reasons:
        if reason not in shown and reason not in eligibility.summary:
            output.print_styled(f"  {reason}")
    for warning in eligibility.warnings:
        output.print_styled(f"  ! {warning}", "yellow")
    if verdict != "error":
        output.print_styled(f"  {_evidence(eligibility)}")
    for note in eligibility.notes:
        output.print_styled(f"  {note}")
    for need in eligibility.missing:
        output.print_styled(f"  → {need}")
    if len(eligibility.ramp) > 1:
        output.print_styled(f"  a promotion would {traffic_text(eligibility)}")
    if eligibility.hold is not None:
        output.print_styled(f"  on hold: {eligibility.hold}", "yellow")
    print_variants(eligibility)
    print_metrics(eligibility.metrics)


def traffic_text(eligibility: PromotionEligibility) -> str:
    """What a promotion would do to the traffic, and when."""
    name, winner = eligibility.experiment_name, eligibility.winner
    first, *rest = eligibility.ramp or (100.0,)
    if not rest:
        return f"move the traffic of {name!r} to {winner!r}"
    then = ", ".join(share_text(percent) for percent in rest)
    hold = f"each step held for {eligibility.ramp_hold_hours or 0:g} h"
    if eligibility.holdback_percent is not None and eligibility.holdback_days is not None:
        kept, days = share_text(eligibility.holdback_percent), f"{eligibility.holdback_days:g} days"
        last = f"{hold}, but the last but one" if len(rest) > 1 else "held"
        hold = f"{last} for {days}, in which control keeps {kept}"
    return f"give {winner!r} {share_text(first)} of the traffic of {name!r}, then {then} ({hold})"


def _print_next(eligibility: PromotionEligibility) -> None:
    """What to type next: an answer where one is waited for."""
    from promotion_pipeline.promotion.act.approvals import open_approvals

    if not eligibility.is_eligible:
        return
    waits = any(asked.experiment_name == eligibility.experiment_name for asked in open_approvals())
    act = "approve {}" if waits else "promote {} --dry-run"
    if eligibility.harmed:
        names = ", ".join(map(repr, eligibility.harmed))
        output.note(f"Shown to be worse: {names}. It takes a person who promotes all the same, or a no:")
    if eligibility.distrust is not None or eligibility.harmed:
        act = "decline {} --reason TEXT" if waits else "hold {} --reason TEXT"
    output.note(f"Next: {output.program()} {act.format(output.shell_name(eligibility.experiment_name))}")


def _evidence(eligibility: PromotionEligibility) -> str:
    evidence = eligibility.evidence
    text = evidence_text(eligibility)
    if evidence.is_met and not evidence.withheld:
        return f"{text}; enough to be promoted unattended"
    withheld = "; ".join(evidence.withheld_because)
    return f"{text}; not promoted unattended" + (f": {withheld}" if withheld else "")


def _print_promoted(eligibility: PromotionEligibility, promotion: StandingPromotion) -> None:
    """What stands now, and then the numbers it was promoted with."""
    was = promotion.was
    output.print_styled(f"{eligibility.experiment_name}: {promotion.state.value}", "bold green")
    output.print_styled(f"{eligibility.summary}")
    if eligibility.traffic is not None:
        output.print_styled(f"  traffic now: {split_text(eligibility.traffic.decided)}")
        if eligibility.traffic.problem is not None:
            output.print_styled(f"  ! {eligibility.traffic.problem}", "yellow")
    if eligibility.hold is not None:
        output.print_styled(f"  on hold: {eligibility.hold}", "yellow")
    how = promotion.promotion_type.value
    output.print_styled(f"Promoted ({how}) with these numbers, as of {output.when(was.as_of)}: {was.summary}")
    if was.primary_metric is not None:
        output.print_styled(f"  {_primary(was)}")
    for item in was.checks:
        mark, style = ("✓", "green") if item.passed else ("✗", "red")
        output.print_styled(f"  {mark} {item.message}", style)
    for warning in was.warnings:
        output.print_styled(f"  ! {warning}", "yellow")
    output.print_styled(f"  {evidence_text(was)}")
    print_variants(was)
    print_metrics(was.metrics)
    shown = output.shell_name(eligibility.experiment_name)
    output.note(f"Next: {output.program()} ledger {shown}, history {shown}, or rollback {shown} --reason TEXT")


def _primary(eligibility: PromotionEligibility) -> str:
    """What the improvement is the improvement of."""
    less = ", less is better" if eligibility.primary_direction == "decrease" else ""
    return f"primary metric: {eligibility.primary_metric}, {eligibility.primary_unit}{less}"


def evidence_text(eligibility: PromotionEligibility) -> str:
    """What the evidence is made of."""
    from promotion_pipeline.promotion.judge.carried import evidence_sentence

    return evidence_sentence(eligibility.evidence)


def print_variants(eligibility: PromotionEligibility) -> None:
    """A row per variant; a primary metric that is not conversion has a column of its own."""
    is_value = eligibility.primary_metric not in (None, "conversion")
    rows = [
        [
            f"{variant.name} (control)" if variant.is_control else variant.name,
            output.share(variant.traffic_percentage),
            output.number(variant.requests),
            *([measure_text(variant.primary_estimate, unknown="-")] if is_value else []),
            output.rate(variant.conversion_rate),
            output.rate(variant.error_rate),
            output.milliseconds(variant.mean_latency_ms),
        ]
        for variant in eligibility.variants
    ]
    if rows:
        primary = [eligibility.primary_unit] if is_value else []
        output.print_table(["variant", "traffic", "requests", *primary, "conversion", "errors", "latency"], rows)


def print_metrics(metrics: tuple[MetricResult, ...]) -> None:
    """A row per stated metric and treatment, and what each says."""
    rows = [
        [
            found.metric,
            found.variant_name,
            measure_text(found.control_estimate),
            measure_text(found.estimate),
            rate_text(found.lift, signed=True),
            interval_text(found.always_valid_lower, found.always_valid_upper),
        ]
        for found in metrics
    ]
    if rows:
        output.print_table(["metric", "treatment", "control", "is", "lift", "at every look"], rows)
    for found in metrics:
        style = "yellow" if found.guardrail in ("not_kept", "not_measured") else ""
        output.print_styled(f"  {found.role} {found.metric!r} of {found.variant_name}: {found.message}", style)
