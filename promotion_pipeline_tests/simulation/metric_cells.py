"""`python -m promotion_pipeline_tests.simulation.metric_cells`: the rule with several metrics, for docs/measured.md.

Every cell is an experiment of 14 days with a look every hour: 45 requests an hour and arm, three a user within three
days, 30 % convert, and metrics of users who have habits. In a cell of false promotions the goals are alike and the
primary metric rises by 10 %, so that the contract holds nothing back and the goals' evidence alone keeps the promise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.simulation import Campaign, RuleSummary, Scenario, SimulatedMetrics, simulate
from promotion_pipeline.simulation.outcomes import PromotionRule

SHOP = Scenario(
    base_rate=0.3, requests_per_hour=45, requests_per_user=3, user_correlation=0.1, visit_days=3, lifts=(0.1,)
)
ONE = SimulatedMetrics(goals=1)
GUARDED = SimulatedMetrics(goals=1, guardrails=3)
THREE = SimulatedMetrics(goals=3)
CUPED = SimulatedMetrics(goals=1, covariate_correlation=0.7)
LIFT = 0.15
"""Of the first goal, in the cells of power."""


@dataclass(frozen=True)
class Cell:
    """One line of a table."""

    scenario: Scenario
    config: PromotionConfig = field(default_factory=PromotionConfig)


def _with(metrics: SimulatedMetrics, **more: object) -> Cell:
    return Cell(replace(SHOP, metrics=metrics, **more))  # type: ignore[arg-type]


FALSE_PROMOTIONS: Mapping[str, Cell] = {
    "1 goal, 3 guardrails": _with(GUARDED),
    "3 goals": _with(THREE),
    "1 goal with CUPED at 0.7": _with(CUPED),
    "1 goal, 3 guardrails, weekly cycle": _with(GUARDED, weekly_swing=0.5),
}
"""The goals are alike: every promotion is a false one."""
ALL_ALIKE: Mapping[str, Cell] = {
    f"{name}, nothing differs": Cell(replace(cell.scenario, lifts=(0.0,))) for name, cell in FALSE_PROMOTIONS.items()
}
HARMFUL: Mapping[str, Cell] = {
    "a guardrail worse by its margin": _with(replace(GUARDED, guardrails=1, goal_lift=LIFT, guardrail_lift=0.2))
}
"""The goal rises, but a guardrail is as bad as it must not be: every promotion is a false one."""
POWER: Mapping[str, Cell] = {
    "1 goal": _with(replace(ONE, goal_lift=LIFT)),
    "1 goal, 3 guardrails with a margin": _with(replace(GUARDED, goal_lift=LIFT)),
    "1 goal, 3 guardrails without one": _with(replace(GUARDED, goal_lift=LIFT, margin=None)),
    "3 goals, one of which rises": _with(replace(THREE, goal_lift=LIFT)),
    "1 goal with CUPED at 0.7 and a lift": _with(replace(CUPED, goal_lift=LIFT)),
    "1 goal, weekly cycle": _with(replace(ONE, goal_lift=LIFT), weekly_swing=0.5),
}
CELLS: Mapping[str, Cell] = {**FALSE_PROMOTIONS, **ALL_ALIKE, **HARMFUL, **POWER}
"""Name -> cell."""


def run(name: str, experiments: int, *, seed: int = 0, jobs: int = 1) -> Campaign:
    """Simulate one cell."""
    cell = CELLS[name]
    return simulate(cell.scenario, experiments=experiments, config=cell.config, seed=seed, jobs=jobs)


def unattended(campaign: Campaign) -> RuleSummary:
    """What the whole rule did."""
    return next(rule for rule in campaign.rules if rule.rule is PromotionRule.UNATTENDED)


def _line(name: str, experiments: int, seed: int, jobs: int) -> str:
    began = time.process_time()
    found = unattended(run(name, experiments, seed=seed, jobs=jobs))
    spent = time.process_time() - began
    false, power = found.false_promotions, found.power
    assert false.value is not None and false.standard_error is not None
    shown = f"| {name} | {100 * false.value:.2f} ± {100 * false.standard_error:.2f} %"
    if power.value is None or power.standard_error is None:
        return f"{shown} | | | {spent:.0f} s |"
    half = "-" if found.half_promoted_hours is None else f"{found.half_promoted_hours:.0f}"
    return f"{shown} | {100 * power.value:.1f} ± {100 * power.standard_error:.1f} % | {half} | {spent:.0f} s |"


def main() -> None:
    """Print a line a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"default: all of {', '.join(CELLS)}")
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    print("| cell | false promotions | power | hours until half is promoted | processor time |")
    print("| --- | --- | --- | --- | --- |")
    for name in asked.cells or CELLS:
        print(_line(name, asked.experiments, asked.seed, asked.jobs), flush=True)


if __name__ == "__main__":
    main()
