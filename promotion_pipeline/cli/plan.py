"""`plan`: how many requests, users and days a lift needs, for each evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, ThresholdCommand, takes_thresholds
from promotion_pipeline.cli.simulate import numbers
from promotion_pipeline.errors import InputError
from promotion_pipeline.text.numbers import DASH, count_text, percent_text, setting_text

if TYPE_CHECKING:
    from promotion_pipeline.config import PromotionConfig
    from promotion_pipeline.planning import Aim, EvidencePlan, ExperimentPlan, Traffic
    from promotion_pipeline.planning.level import Level
    from promotion_pipeline.planning.stated import StatedMetric

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Plan from this experiment's own traffic.", show_default=False),
]
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="FRACTION", help="Control's conversion rate; 5 % is 0.05.")
]
Mean = Annotated[
    float | None,
    typer.Option("--mean", metavar="VALUE", help="Control's mean value a request, instead of --rate."),
]
Deviation = Annotated[
    float | None,
    typer.Option("--standard-deviation", metavar="VALUE", help="Of the values of single requests; with --mean."),
]
OfUsers = Annotated[
    bool,
    typer.Option("--of-users", help="--mean and --standard-deviation are of a user's total; with --requests-per-user."),
]
PerDay = Annotated[
    float | None, typer.Option("--requests-per-day", metavar="N", help="Requests of all variants a day.")
]
Variants = Annotated[int | None, typer.Option("--variants", metavar="N", help="Variants, control among them; even.")]
PerUser = Annotated[
    float | None, typer.Option("--requests-per-user", metavar="N", help="Mean requests of a user over the plan.")
]
Correlation = Annotated[
    float, typer.Option("--user-correlation", metavar="FRACTION", help="Correlation of two requests of one user.")
]
Lifts = Annotated[
    str, typer.Option("--lift-percent", metavar="PERCENT[,PERCENT...]", help="True lifts to plan for, one after other.")
]
Powers = Annotated[
    str, typer.Option("--power-percent", metavar="PERCENT[,PERCENT...]", help="Chance that the lift is promoted.")
]
Goals = Annotated[
    int | None,
    typer.Option("--goals", metavar="N", help="Metrics that share the allowed error; default: as stated, or 1."),
]
Guardrails = Annotated[
    int | None,
    typer.Option(
        "--guardrails", metavar="N", help="Metrics with a margin that may not get worse; default: as stated, or 0."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        "--margin-percent", metavar="PERCENT", help="How much worse a guardrail may be; default: as stated, or 5."
    ),
]
GuardrailRate = Annotated[
    float | None, typer.Option("--guardrail-rate", metavar="FRACTION", help="Their rate; default: the metric's.")
]


def register(app: typer.Typer) -> None:
    """Add `plan`."""
    summary = "Plan an experiment: how many requests, users and days find a lift, for each evidence."
    app.command(
        "plan",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline plan demo-checkout-button --lift-percent 5,10",
            "promotion-pipeline plan --rate 0.05 --requests-per-day 20000 --variants 3 --power-percent 80,90",
            "promotion-pipeline plan --rate 0.05 --requests-per-day 20000 --requests-per-user 10",
            "promotion-pipeline plan --mean 24 --standard-deviation 60 --requests-per-day 20000",
            "promotion-pipeline plan --rate 0.05 --requests-per-day 20000 --guardrails 3 --margin-percent 10",
            more="The looks, the boundary and the thresholds are those of the rule, so the power is that of being"
            " promoted. A plan of N requests of the two arms is stated by --set planned_sample_size=N in the"
            " experiment's promotion_config, before its first look. With NAME the numbers are those of its newest"
            " phase, user-level where users are known, of each stated goal its own, and options replace them.",
        ),
    )(takes_thresholds(plan))


def plan(
    name: Name = None,
    rate: Rate = None,
    mean: Mean = None,
    standard_deviation: Deviation = None,
    of_users: OfUsers = False,
    requests_per_day: PerDay = None,
    variants: Variants = None,
    requests_per_user: PerUser = None,
    user_correlation: Correlation = 0.25,
    lift_percent: Lifts = "5,10,20",
    power_percent: Powers = "80",
    goals: Goals = None,
    guardrails: Guardrails = None,
    margin_percent: Margin = None,
    guardrail_rate: GuardrailRate = None,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Plan, and print a table a power and lift."""
    from promotion_pipeline.planning.level import Level

    users = None if requests_per_user is None else (requests_per_user, user_correlation)
    level = Level(rate, mean, standard_deviation, is_of_users=of_users)
    traffic, rule = _traffic(name, level, requests_per_day, variants, users, config)
    given = {"goals": goals, "guardrails": guardrails, "margin_percent": margin_percent}
    # Numbers that are given replace what would be measured.
    is_own = name is not None and rate is None and mean is None and requests_per_user is None
    own = _own_metrics(name, traffic, rule) if name is not None and is_own else ()
    stated = _stated(rule, traffic, own) | {key: value for key, value in given.items() if value is not None}
    aims = [
        _aim(lift / 100.0, power / 100.0, stated, guardrail_rate)
        for power in numbers(power_percent, "--power-percent")
        for lift in numbers(lift_percent, "--lift-percent")
    ]
    plans = _plans(traffic, rule, aims, [one for one in own if one.metric.role == "goal"] if goals is None else [])
    if as_json:
        output.print_json({"plans": [one.to_json() for one in plans]})
        return
    _print(traffic, plans)
    for text in _of_goals(own) if goals is None else ():
        output.note(text)


def _aim(lift: float, power: float, stated: dict[str, Any], guardrail_rate: float | None) -> Aim:
    from promotion_pipeline.planning import Aim

    return Aim(
        lift=lift,
        power=power,
        goals=int(stated["goals"]),
        guardrails=int(stated["guardrails"]),
        margin=stated["margin_percent"] / 100.0,
        guardrail_rate=guardrail_rate,
        guardrail_variance=stated["guardrail_variance"],
    )


def _plans(traffic: Traffic, rule: PromotionConfig, aims: list[Aim], goals: list[StatedMetric]) -> list[ExperimentPlan]:
    """A plan an aim; of an experiment that states goals one for each of them."""
    from dataclasses import replace

    from promotion_pipeline.planning import plan as planned
    from promotion_pipeline.planning.stated import EVIDENCES_OF_GOALS

    plans: list[ExperimentPlan] = []
    with output.progress("Planning") as advance:
        for aim in aims:
            found = [
                replace(
                    planned(goal.traffic or traffic, aim, goal.rule(rule), evidences=EVIDENCES_OF_GOALS),
                    goal=goal.metric.name,
                )
                for goal in goals
            ]
            plans += found or [planned(traffic, aim, rule)]
            advance(len(plans) / (len(aims) * max(len(goals), 1)))
    return plans


def _own_metrics(name: str, traffic: Traffic, rule: PromotionConfig) -> tuple[StatedMetric, ...]:
    from promotion_pipeline.planning.stated import stated_metrics_of
    from promotion_pipeline.store.database import current_store

    return stated_metrics_of(current_store(), name, traffic, rule)


def _of_goals(own: tuple[StatedMetric, ...]) -> list[str]:
    """What is said of the goals that an experiment states, and of the guardrail that is planned for."""
    from promotion_pipeline.planning.answer import OF_GOALS
    from promotion_pipeline.planning.stated import costliest, level_words

    said = [level_words(one) for one in own if one.metric.role == "goal"]
    if said:
        said += [OF_GOALS, "min_improvement_percent is asked of the primary metric, which is not part of these figures"]
    guardrail = costliest(own)
    if guardrail is not None:
        said.append(f"guardrails are planned as the costliest of them, {guardrail.metric.name!r}, by its own variance")
    elif any(one.metric.margin_percent is not None for one in own):
        said.append("guardrails are planned by the primary metric's variance: none of them has been measured yet")
    return said


def _stated(rule: PromotionConfig, traffic: Traffic, own: tuple[StatedMetric, ...]) -> dict[str, Any]:
    """How many goals and guardrails with a margin the experiment states, and what the costliest of these needs."""
    from promotion_pipeline.config import MetricRole
    from promotion_pipeline.planning.stated import costliest

    margins = [metric.margin_percent for metric in rule.metrics if metric.margin_percent is not None]
    goals = sum(metric.role is MetricRole.GOAL for metric in rule.metrics)
    counted = {"goals": max(goals, 1), "guardrails": len(margins)}
    guardrail = costliest(own)
    if guardrail is None:
        variance = traffic.relative_variance_at(traffic.mean)
        return counted | {"margin_percent": min(margins, default=5.0), "guardrail_variance": variance}
    return counted | {
        "margin_percent": guardrail.metric.margin_percent,
        "guardrail_variance": guardrail.relative_variance,
    }


def _traffic(
    name: str | None,
    level: Level,
    per_day: float | None,
    variants: int | None,
    users: tuple[float, float] | None,
    config: Any,
) -> tuple[Traffic, PromotionConfig]:
    """What is planned from: the experiment's own, with what is given in its place.

    Args:
        users: their requests, and how two of one user correlate.
    """
    from dataclasses import replace

    from promotion_pipeline.config import Settings, layered
    from promotion_pipeline.planning import Traffic
    from promotion_pipeline.planning.question import NO_TRAFFIC

    arms = None if variants is None else (1.0 / max(variants, 1),) * max(variants, 1)
    if name is None:
        rule = layered(Settings.from_environment().thresholds, config)
        found = level.traffic_like(None, rule.primary_metric, None if users is None else users[0])
        if found is None or per_day is None:
            wanted = "--mean, --standard-deviation" if level.is_value(rule.primary_metric) else "--rate"
            raise InputError(
                f"{wanted} and --requests-per-day are needed without the name of an experiment (--rate of conversions,"
                f" --mean and --standard-deviation of a value); {NO_TRAFFIC}"
            )
        traffic = Traffic(**found | {"requests_per_day": per_day, "shares": arms or (0.5, 0.5)})
    else:
        from promotion_pipeline.planning.measured import measured_traffic
        from promotion_pipeline.store.database import current_store

        traffic, rule = measured_traffic(current_store(), name, config)
        found = level.traffic_like(traffic, rule.primary_metric, None if users is None else users[0])
        given: dict[str, Any] = {"requests_per_day": per_day, "shares": arms}
        traffic = replace(traffic, **(found or {}) | {key: value for key, value in given.items() if value is not None})
    if users is None:
        return traffic, rule
    if level.has_a_number_a_user(rule.primary_metric):
        return replace(traffic, requests_per_user=users[0]), rule
    return traffic.with_users(*users), rule


def _print(traffic: Traffic, plans: list[ExperimentPlan]) -> None:
    output.print_line(
        f"{count_text(traffic.requests_per_day)} requests a day, {len(traffic.shares)} variants, control"
        f" {'converts' if traffic.is_proportion else 'has a mean of'}"
        f" {percent_text(100 * traffic.mean) if traffic.is_proportion else f'{traffic.mean:g}'} ({traffic.source})"
    )
    shown = any(plan.aim.goals > 1 or plan.aim.guardrails for plan in plans)
    columns = ["lift", "power", "evidence", "requests, two arms", "all requests", "users", "days", "half found by"]
    rows = [_row(plan, need, shown) for plan in plans for need in plan.needs]
    if any(plan.goal is not None for plan in plans):
        columns = ["goal", *columns]
    output.print_table([*columns, "goals and guardrails cost"] if shown else columns, rows)
    failed = [
        f"{setting_text(round(100 * plan.aim.lift, 6), signed=True)}: {need.why_not}"
        for plan in plans
        for need in plan.needs
        if need.why_not is not None
    ]
    for text in dict.fromkeys([*failed, *(text for plan in plans for text in plan.notes)]):
        output.note(text)
    output.note("Even traffic and a look every hour are assumed; fixed_horizon is one look at the end.")


def _row(plan: ExperimentPlan, need: EvidencePlan, shown: bool) -> list[object]:
    days = None if need.hours is None else need.hours / 24.0
    half = DASH if need.median_hours is None else f"{need.median_hours:,.0f} h"
    cells = [] if plan.goal is None else [plan.goal]
    cells += [
        setting_text(round(100 * plan.aim.lift, 6), signed=True),
        setting_text(round(100 * plan.aim.power, 6)),
        need.evidence,
        count_text(need.requests_two_arms, unknown=DASH),
        count_text(need.requests, unknown=DASH),
        count_text(need.users, unknown=DASH),
        count_text(days, 1, unknown=DASH),
        half,
    ]
    return [*cells, percent_text(need.cost_percent, 0, signed=True, unknown=DASH)] if shown else list(cells)
