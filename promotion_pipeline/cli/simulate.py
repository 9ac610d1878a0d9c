"""`simulate`: how often the rule is wrong, and how often and how soon right, where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output, simulate_like
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, ThresholdCommand, takes_thresholds
from promotion_pipeline.errors import InputError
from promotion_pipeline.text.numbers import setting_text

if TYPE_CHECKING:
    from promotion_pipeline.simulation import Campaign, Estimate, RuleSummary, Scenario

Experiments = Annotated[int, typer.Option("--experiments", "-n", metavar="N", help="How many experiments.")]
Arms = Annotated[int, typer.Option("--arms", metavar="N", help="Variants, control among them.")]
Requests = Annotated[float, typer.Option("--requests-per-hour", metavar="N", help="Mean requests an hour and arm.")]
BaseRate = Annotated[float, typer.Option("--base-rate", metavar="FRACTION", help="Control's conversion rate.")]
Lift = Annotated[
    str,
    typer.Option(
        "--lift-percent", metavar="PERCENT[,PERCENT...]", help="True lift of each treatment; the rest has none."
    ),
]
Days = Annotated[float, typer.Option("--days", metavar="DAYS", help="How long each experiment runs.")]
Looks = Annotated[int, typer.Option("--look-every-hours", metavar="HOURS", help="Hours between two looks.")]
Swing = Annotated[
    float, typer.Option("--daily-swing", metavar="FRACTION", help="0.5: traffic between 0.5 and 1.5 times its mean.")
]
PerUser = Annotated[
    float | None,
    typer.Option("--requests-per-user", metavar="N", help="Mean requests of a user; default: users are not known."),
]
Correlation = Annotated[
    float, typer.Option("--user-correlation", metavar="FRACTION", help="Correlation of two requests of one user.")
]
VisitDays = Annotated[
    float | None,
    typer.Option("--visit-days", metavar="DAYS", help="Days that a user's visits are spread over; default: all."),
]
GuestShare = Annotated[
    float,
    typer.Option(
        "--guest-share",
        metavar="FRACTION",
        help="Share of every arm's requests under one user_id ('guest') that stands for many people.",
    ),
]
BotShare = Annotated[
    float,
    typer.Option(
        "--bot-share",
        metavar="FRACTION",
        help="Share of every arm's requests that one bot makes, which converts at a rate of its own.",
    ),
]
BotsApart = Annotated[
    bool, typer.Option("--bots-apart", help="Another bot in every arm, with another rate; else one bot is in all.")
]
PowerLaw = Annotated[
    float | None,
    typer.Option(
        "--power-law",
        metavar="EXPONENT",
        help="Few users make most requests: P(count >= c) ~ c^-EXPONENT. At 1.2 a few make thousands.",
    ),
]
Delay = Annotated[
    str,
    typer.Option("--delay-hours", metavar="HOURS[,HOURS...]", help="Mean delay of a conversion: control, treatments."),
]
Declared = Annotated[
    str | None, typer.Option("--declared-split", metavar="PERCENT,...", help="The split that is meant; default even.")
]
TrueSplit = Annotated[
    str | None, typer.Option("--true-split", metavar="PERCENT,...", help="The split that happens; default as meant.")
]
Like = Annotated[
    str | None,
    typer.Option(
        "--like",
        metavar="NAME",
        help="Deal the users of this experiment's own log to its variants anew; no other number is needed.",
        show_default=False,
    ),
]
WeeklySwing = Annotated[
    float,
    typer.Option(
        "--weekly-swing", metavar="FRACTION", help="0.3: traffic and conversions 1.3 to 0.7 times over a week."
    ),
]
Goals = Annotated[int, typer.Option("--goals", metavar="N", help="Metrics of users that are to rise; needs users.")]
GoalLift = Annotated[
    float,
    typer.Option("--goal-lift-percent", metavar="PERCENT", help="True lift of the first goal; the others have none."),
]
Guardrails = Annotated[
    int, typer.Option("--guardrails", metavar="N", help="Metrics that may not get worse; needs users.")
]
Margin = Annotated[
    float,
    typer.Option("--margin-percent", metavar="PERCENT", help="How much worse a guardrail may be; 0: no sign of harm."),
]
Past = Annotated[
    float | None,
    typer.Option("--covariate-correlation", metavar="FRACTION", help="Of users' goals with their own past, for CUPED."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same figures.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", metavar="N", help="Processes; default one a processor.")]

RULES = {
    "contract": "contract checks at every look",
    "unattended": "unattended rule",
    "unattended_by_request": "unattended rule, users ignored",
    "group_sequential": "group-sequential boundary alone",
}


def register(app: typer.Typer) -> None:
    """Add `simulate`."""
    summary = "Measure the rule on simulated experiments: false promotions, power, time to a decision."
    app.command(
        "simulate",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline simulate --experiments 10000",
            "promotion-pipeline simulate --arms 4 --lift-percent 10,5",
            "promotion-pipeline simulate --requests-per-user 10 --user-correlation 0.25",
            "promotion-pipeline simulate --requests-per-user 10 --guest-share 0.8",
            "promotion-pipeline simulate --requests-per-user 10 --power-law 1.2",
            "promotion-pipeline simulate --requests-per-user 10 --bot-share 0.3 --bots-apart",
            "promotion-pipeline simulate --delay-hours 24,6 --set attribution_window_hours=96",
            "promotion-pipeline simulate --requests-per-user 5 --true-split 51,49",
            "promotion-pipeline simulate --requests-per-user 3 --goals 1 --guardrails 3 --goal-lift-percent 15",
            "promotion-pipeline simulate --like demo-checkout-button",
            more="Every look goes through the evaluation that decides real experiments. Without --lift-percent no"
            " treatment differs from control, and every promotion is a false one. The database is not used, except by"
            " --like: that reads the users of an experiment's log and deals them to its variants again and again, under"
            " its own thresholds. It says whether the promise about false promotions holds on your data.",
        ),
    )(takes_thresholds(simulate))


def simulate(
    experiments: Experiments = 2000,
    arms: Arms = 2,
    requests_per_hour: Requests = 200.0,
    base_rate: BaseRate = 0.05,
    lift_percent: Lift = "0",
    days: Days = 14.0,
    look_every_hours: Looks = 1,
    daily_swing: Swing = 0.0,
    weekly_swing: WeeklySwing = 0.0,
    requests_per_user: PerUser = None,
    user_correlation: Correlation = 0.25,
    visit_days: VisitDays = None,
    guest_share: GuestShare = 0.0,
    bot_share: BotShare = 0.0,
    bots_apart: BotsApart = False,
    power_law: PowerLaw = None,
    delay_hours: Delay = "0",
    declared_split: Declared = None,
    true_split: TrueSplit = None,
    goals: Goals = 0,
    goal_lift_percent: GoalLift = 0.0,
    guardrails: Guardrails = 0,
    margin_percent: Margin = 20.0,
    covariate_correlation: Past = None,
    like: Like = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Simulate, and print the figures with their standard errors."""
    given = dict(locals())
    if like is not None:
        simulate_like.run(like, experiments, config, seed, as_json)
        return
    campaign = _run(_scenario(given), experiments, config, seed, jobs)
    if as_json:
        output.print_json(campaign.to_json())
    else:
        _print(campaign)


def _scenario(given: dict[str, Any]) -> Scenario:
    """The scenario of the options; those that are called like its fields are what they say."""
    from dataclasses import fields

    from promotion_pipeline.simulation import Scenario, SimulatedMetrics

    same = {field.name: given[field.name] for field in fields(Scenario) if field.name in given}
    lists = {name: text for name in ("declared_split", "true_split") if (text := given[name]) is not None}
    stated = given["goals"] or given["guardrails"]
    metrics = SimulatedMetrics(
        goals=given["goals"] if stated else 1,
        guardrails=given["guardrails"],
        goal_lift=given["goal_lift_percent"] / 100.0,
        margin=given["margin_percent"] / 100.0 or None,
        covariate_correlation=given["covariate_correlation"],
    )
    return Scenario(
        **same
        | {name: numbers(text, f"--{name.replace('_', '-')}") for name, text in lists.items()}
        | {
            "lifts": tuple(lift / 100.0 for lift in numbers(given["lift_percent"], "--lift-percent")),
            "delays_hours": numbers(given["delay_hours"], "--delay-hours"),
            "metrics": metrics if stated else None,
        }
    )


def _run(scenario: Scenario, experiments: int, config: Any, seed: int, jobs: int | None) -> Campaign:
    import os

    from promotion_pipeline.config import Settings, layered
    from promotion_pipeline.simulation import simulate as run

    rule = layered(Settings.from_environment().thresholds, config)
    with output.progress(f"Simulating {experiments:,} experiments") as advance:
        return run(
            scenario,
            experiments=experiments,
            config=rule,
            seed=seed,
            jobs=jobs or os.cpu_count() or 1,
            advance=advance,
        )


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers separated by commas.

    Raises:
        InputError: a part is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r} is not a list of numbers: write for example {option} 10,5") from None


def _print(campaign: Campaign) -> None:
    output.print_line(_sentence(campaign.scenario, campaign.experiments))
    has_winner = max(campaign.scenario.true_lifts) > 0
    columns = ["rule", "false promotions", "median hours", "lift seen"]
    if has_winner:
        columns = [
            "rule",
            "best arm promoted",
            "false promotions",
            "wrong arm",
            "median hours",
            "lift seen",
            "seen / true",
        ]
    output.print_table(columns, [_row(rule, has_winner) for rule in campaign.rules])
    for srm in campaign.srm:
        output.print_line(
            f"sample ratio alarms on {srm.unit}s (p < 0.001): {_share(srm.at_last_look)} at the last look,"
            f" {_share(srm.ever)} at any look; by the sequential test {_share(srm.sequential_ever)} at any look"
        )
    output.note("± is one standard error. Hours and lift are those at the promotion.")


def _row(rule: RuleSummary, has_winner: bool) -> list[object]:
    timing = [_measure(rule.median_hours, 0, ""), _measure(rule.mean_lift, 1, " %", 100.0)]
    if not has_winner:
        return [RULES[rule.rule.value], _share(rule.false_promotions), *timing]
    shares = [_share(rule.power), _share(rule.false_promotions), _share(rule.wrong_arm)]
    return [RULES[rule.rule.value], *shares, *timing, _measure(rule.exaggeration, 2, "")]


def _share(estimate: Estimate) -> str:
    return _measure(estimate, 2, " %", 100.0)


def _measure(estimate: Estimate, digits: int, unit: str, scale: float = 1.0) -> str:
    if estimate.value is None:
        return "-"
    error = "" if estimate.standard_error is None else f" ± {estimate.standard_error * scale:.{digits}f}"
    return f"{estimate.value * scale:.{digits}f}{error}{unit}"


def _sentence(scenario: Scenario, experiments: int) -> str:
    lifts = ", ".join(setting_text(lift * 100, signed=True) for lift in scenario.arm_lifts)
    parts = [
        f"{experiments:,} experiments of {scenario.days:g} days, a look every {scenario.look_every_hours} h",
        f"{scenario.arms} arms, {scenario.requests_per_hour:g} requests an hour and arm",
        f"{setting_text(scenario.base_rate * 100)} convert",
        f"true lift {lifts}" if max(map(abs, scenario.arm_lifts)) > 0 else "no treatment differs from control",
    ]
    if scenario.requests_per_user is not None:
        spread = "the whole time" if scenario.visit_days is None else f"{scenario.visit_days:g} days"
        parts.append(
            f"{scenario.requests_per_user:g} requests a user over {spread}, correlated by {scenario.user_correlation:g}"
        )
    parts += _metrics(scenario)
    parts += _giants(scenario)
    if any(scenario.delays_hours):
        delays = ", ".join(f"{hours:g}" for hours in scenario.arm_delays_hours)
        parts.append(f"conversions {delays} h late on average")
    if scenario.true_split is not None:
        parts.append(f"split {'/'.join(f'{percent:g}' for percent in scenario.true_split)} instead of declared")
    return "; ".join(parts)


def _metrics(scenario: Scenario) -> list[str]:
    """What is said of the metrics beside the primary one."""
    stated = scenario.metrics
    if stated is None:
        return []
    past = "" if stated.covariate_correlation is None else f", past correlated by {stated.covariate_correlation:g}"
    lift = setting_text(round(100 * stated.goal_lift, 6), signed=True)
    margin = "no margin" if stated.margin is None else f"a margin of {setting_text(round(100 * stated.margin, 6))}"
    goals = [f"{stated.goals} goals, the first with a true lift of {lift}{past}"] if stated.goals else []
    return [*goals, *([f"{stated.guardrails} guardrails with {margin}"] if stated.guardrails else [])]


def _giants(scenario: Scenario) -> list[str]:
    """What is said of users who are not like the others."""
    parts = []
    if scenario.power_law is not None:
        parts.append(f"a user makes c requests or more with a chance like c^-{scenario.power_law:g}")
    if scenario.guest_share > 0:
        parts.append(f"{setting_text(scenario.guest_share * 100)} of the requests under one user_id for many people")
    if scenario.bot_share > 0:
        where = "another one in each arm" if scenario.bots_apart else "the same in every arm"
        parts.append(
            f"{setting_text(scenario.bot_share * 100)} of the requests by a bot with a rate of its own, {where}"
        )
    return parts
