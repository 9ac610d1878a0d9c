"""`python -m promotion_pipeline.simulation.evidences`: what each evidence is worth, on the same experiments.

Experiments of 14 days with a look every hour, without a difference and with a real +5 and +10 percent; a row an
evidence, as a Markdown table. The same seed draws the same experiments for each of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from promotion_pipeline.config import Evidence, GroupSequentialSpending, PromotionConfig
from promotion_pipeline.simulation.campaign import simulate
from promotion_pipeline.simulation.outcomes import PromotionRule
from promotion_pipeline.simulation.scenario import Scenario
from promotion_pipeline.simulation.summary import Estimate, RuleSummary
from promotion_pipeline.text.numbers import UNKNOWN, rate_text

LIFTS = (0.0, 0.05, 0.10)
HEADINGS = (
    "evidence",
    "false promotions",
    "+5 %: promoted",
    "median hours",
    "lift seen / true",
    "+10 %: promoted",
    "median hours",
    "lift seen / true",
)


def compared(scenario: Scenario) -> Mapping[str, PromotionConfig]:
    """The thresholds of each evidence, by what it is called; a plan is as large as the scenario's traffic."""
    planned = round(2 * scenario.requests_per_hour * scenario.hours)
    plans = {
        f"`group_sequential`, {spending.value}": PromotionConfig(
            evidence=Evidence.GROUP_SEQUENTIAL, planned_sample_size=planned, group_sequential_spending=spending
        )
        for spending in GroupSequentialSpending
    }
    return MappingProxyType(
        {"`always_valid`": PromotionConfig()}
        | plans
        | {"`fixed_horizon`": PromotionConfig(evidence=Evidence.FIXED_HORIZON)}
    )


def measured(config: PromotionConfig, experiments: int, seed: int, jobs: int) -> list[RuleSummary]:
    """The unattended rule at each true lift."""
    found = []
    for lift in LIFTS:
        campaign = simulate(Scenario(lifts=(lift,)), experiments=experiments, config=config, seed=seed, jobs=jobs)
        found.append(next(rule for rule in campaign.rules if rule.rule is PromotionRule.UNATTENDED))
    return found


def row(name: str, found: Sequence[RuleSummary]) -> str:
    """One evidence as a line of the table."""
    cells = [name, _share(found[0].false_promotions)]
    for rule in found[1:]:
        cells += [_share(rule.power), _number(rule.median_hours, 0), _number(rule.exaggeration, 2)]
    return f"| {' | '.join(cells)} |"


def _share(estimate: Estimate) -> str:
    return f"{rate_text(estimate.value)} ± {rate_text(estimate.standard_error)}"


def _number(estimate: Estimate, digits: int) -> str:
    return UNKNOWN if estimate.value is None else f"{estimate.value:.{digits}f}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline.simulation.evidences", description=__doc__)
    parser.add_argument("-n", "--experiments", type=int, default=2000, help="of each evidence and lift (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args(arguments)
    print_line(f"| {' | '.join(HEADINGS)} |")
    print_line("| --- " * len(HEADINGS) + "|")
    for name, config in compared(Scenario()).items():
        print_line(row(name, measured(config, given.experiments, given.seed, given.jobs)))
    return 0


def print_line(text: str) -> None:
    """To stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
