"""`simulate --like`: the promise about false promotions, checked on an experiment's own log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promotion_pipeline.cli import output
from promotion_pipeline.text.numbers import DASH, count_text, rate_text

if TYPE_CHECKING:
    from promotion_pipeline.simulation import FalsePromotions, LikeCampaign
    from promotion_pipeline.simulation.like import MetricSigns

RULES = {
    "contract": "contract checks at every look",
    "unattended": "unattended rule",
    "group_sequential": "group-sequential boundary alone",
}


def run(name: str, experiments: int, config: Any, seed: int, as_json: bool) -> None:
    """Read the log, deal its users anew, and print how often something was promoted."""
    from promotion_pipeline.planning.own_log import own_log
    from promotion_pipeline.simulation import simulate_like
    from promotion_pipeline.store.database import current_store

    with output.progress(f"Reading the log of {name}"):
        own = own_log(current_store(), name, config)
    with output.progress(f"Dealing {own.log.users:,} users {experiments:,} times") as advance:
        campaign = simulate_like(
            own.log, own.split, experiments=experiments, config=own.config, seed=seed, advance=advance
        )
    if as_json:
        output.print_json(
            campaign.to_json()
            | {
                "like": name,
                "requests": own.requests,
                "requestsWithoutUser": own.requests_without_user,
                "notes": list(own.notes),
            }
        )
        return
    _print(name, campaign)
    for text in own.notes:
        output.note(text)
    output.note("Errors of requests are not dealt: the check of the error rate always passes here.")


def _print(name: str, campaign: LikeCampaign) -> None:
    output.print_line(
        f"{campaign.experiments:,} experiments like {name}: its {campaign.users:,} users over {campaign.hours:,} hours,"
        " dealt to the variants at random; every promotion is a false one"
    )
    output.print_table(
        ["rule", "promoted", "95 % interval", "promised at most", "kept", "median hours"],
        [_row(rule) for rule in campaign.rules],
    )
    if campaign.metrics:
        output.print_table(
            ["metric", "role", "ever shown better", "ever shown worse", "of each at most", "kept at the end"],
            [_metric_row(metric) for metric in campaign.metrics],
        )
    for rule in campaign.rules:
        if rule.kept is not None:
            output.print_line(_sentence(rule))


def _row(rule: FalsePromotions) -> list[object]:
    return [
        RULES[rule.rule.value],
        rate_text(rule.share),
        f"{rate_text(rule.lower)} to {rate_text(rule.upper)}",
        rate_text(rule.promised, unknown=DASH),
        DASH if rule.kept is None else rule.kept.value,
        count_text(rule.median_hours, unknown=DASH),
    ]


def _metric_row(metric: MetricSigns) -> list[object]:
    signs = [
        f"{rate_text(share)} ({rate_text(low)} to {rate_text(high)})"
        for share, low, high in (metric.better, metric.worse)
    ]
    return [metric.metric, metric.role, *signs, rate_text(metric.promised), rate_text(metric.kept, unknown=DASH)]


def _sentence(rule: FalsePromotions) -> str:
    what, promised = RULES[rule.rule.value], rate_text(rule.promised)
    match rule.kept:
        case "kept":
            return f"The {what} keeps its promise on this log: at most {rate_text(rule.upper)} of {promised}."
        case "broken":
            return (
                f"The {what} BREAKS its promise on this log: at least {rate_text(rule.lower)} where {promised} were"
                " promised. Do not let it promote unattended here (--require-manual-approval), and look for what makes"
                " users unlike: placeholders, bots, one account of many people."
            )
    return f"The {what}: too few experiments to say; ask for more with --experiments."
