"""The plan: for each evidence the requests, users and days that find a lift with the wanted power, and what more costs.

plan(Traffic(mean=0.05, requests_per_day=20_000), Aim(lift=0.1, power=0.9))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic.alias_generators import to_camel

from promotion_pipeline.config import Evidence, GroupSequentialSpending, PromotionConfig
from promotion_pipeline.evaluation.gates import LATE_HOURS
from promotion_pipeline.planning.evidences import (
    Course,
    always_valid_course,
    fixed_horizon_course,
    group_sequential_course,
)
from promotion_pipeline.planning.guardrails import guardrail_course, with_guardrails
from promotion_pipeline.planning.question import Aim, Traffic
from promotion_pipeline.planning.walk import Walk, hours_until_enough, walk_of
from promotion_pipeline.statistics import power_of_each_test
from promotion_pipeline.text.numbers import rate_text, setting_text

EVIDENCES = ("always_valid", "group_sequential obrien_fleming", "group_sequential alpha_t_squared", "fixed_horizon")


OF_GOALS = (
    "stated goals are decided by the always-valid test, whatever is planned: the lines of group_sequential do not hold"
)


@dataclass(frozen=True)
class EvidencePlan:
    """What one evidence needs; numbers are None where the power is not reached within three years."""

    evidence: str
    requests_two_arms: int | None = None
    """Of control and the treatment: the `planned_sample_size`."""
    requests: int | None = None
    """Of all variants."""
    users: int | None = None
    hours: float | None = None
    """When the power is reached; the end of the plan."""
    median_hours: float | None = None
    """Half of the winners that are found are promoted by then."""
    expected_hours: float | None = None
    """Mean age at the promotion, or at the plan's end without one."""
    power: float | None = None
    """Of being promoted by the end."""
    cost_percent: float | None = None
    """Requests that the other goals and the guardrails cost, over those of one goal alone."""
    why_not: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {to_camel(name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ExperimentPlan:
    """What each evidence needs, for one aim."""

    traffic: Traffic
    aim: Aim
    power_of_each_test: float
    """What the goal and each guardrail are planned for, so that the decision has the power that is asked for."""
    alpha: float
    """Two-sided level of one comparison of one goal, after it is shared."""
    needs: tuple[EvidencePlan, ...]
    guardrail_requests_two_arms: int | None
    """Requests at which one guardrail is shown to be within its margin with that power; None: without guardrails."""
    notes: tuple[str, ...]
    goal: str | None = None
    """The stated goal that the lift is of; None: the primary metric."""

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "goal": self.goal,
            "traffic": {to_camel(name): value for name, value in asdict(self.traffic).items()},
            "aim": {to_camel(name): value for name, value in asdict(self.aim).items()},
            "powerOfEachTest": self.power_of_each_test,
            "alpha": self.alpha,
            "needs": [need.to_json() for need in self.needs],
            "guardrailRequestsTwoArms": self.guardrail_requests_two_arms,
            "notes": list(self.notes),
        }


def plan(
    traffic: Traffic, aim: Aim, config: PromotionConfig | None = None, *, evidences: Sequence[str] = EVIDENCES
) -> ExperimentPlan:
    """How many requests, users and hours find the lift with the power, for each evidence.

    The boundary, the least improvement, runtime and sample of the contract, and looks every hour are those of the rule;
    the estimate is taken for normal. Traffic is taken to be even over the day, users to behave as so far.

    Args:
        evidences: those of `EVIDENCES` that are asked for; each takes a fifth of a second.

    Raises:
        InputError: the lift takes the metric out of its range.
    """
    rule = config or PromotionConfig()
    walk = walk_of(traffic, aim, rule)
    each = float(power_of_each_test(aim.power, aim.guardrails))
    alpha = (1.0 - rule.min_confidence_level / 100.0) / traffic.treatments
    guardrail = guardrail_course(traffic, aim, rule, walk, each) if aim.guardrails else None
    needs, waiting = [], []
    for evidence in evidences:
        if aim.goals > 1 and evidence.startswith(Evidence.GROUP_SEQUENTIAL):
            needs.append(EvidencePlan(evidence, why_not=OF_GOALS))
            continue
        alone = _course(walk, rule, evidence, alpha, aim.power)
        whole = (
            alone if (aim.goals, aim.guardrails) == (1, 0) else _course(walk, rule, evidence, alpha / aim.goals, each)
        )
        needs.append(_need(evidence, traffic, rule, walk, alone, _guarded(whole, guardrail, aim)))
        if whole is not None and guardrail is not None and whole.hours[-1] < guardrail.hours[-1]:
            waiting.append(evidence)
    return ExperimentPlan(
        traffic=traffic,
        aim=aim,
        power_of_each_test=each,
        alpha=alpha / aim.goals,
        needs=tuple(needs),
        guardrail_requests_two_arms=(
            None if guardrail is None else int(np.ceil(guardrail.hours[-1] * walk.requests_per_hour))
        ),
        notes=(*_notes(traffic, aim, rule, guardrail), *_notes_of_waiting(waiting)),
    )


def _course(walk: Walk, rule: PromotionConfig, evidence: str, alpha: float, power: float) -> Course | None:
    if walk.effect <= walk.least_effect or walk.is_endless:
        return None
    if evidence == "always_valid":
        return always_valid_course(walk, rule, alpha, power)
    if evidence == "fixed_horizon":
        return fixed_horizon_course(walk, alpha, power)
    return group_sequential_course(walk, GroupSequentialSpending(evidence.split()[1]), alpha, power)


def _guarded(course: Course | None, guardrail: Course | None, aim: Aim) -> Course | None:
    """A plan in which the guardrails are shown too."""
    if course is None or aim.guardrails == 0:
        return course
    return None if guardrail is None else with_guardrails(course, guardrail, aim.guardrails)


def _need(
    evidence: str, traffic: Traffic, rule: PromotionConfig, walk: Walk, alone: Course | None, course: Course | None
) -> EvidencePlan:
    if course is None:
        return EvidencePlan(evidence, why_not=_why_not(rule, walk, is_shown=alone is not None))
    end, wait = float(course.hours[-1]), rule.attribution_window_hours
    pair = end * walk.requests_per_hour
    requests = pair / traffic.pair
    extra = None if alone is None else 100.0 * (end / float(alone.hours[-1]) - 1.0)
    users = None if traffic.requests_per_user is None else int(np.ceil(requests / traffic.requests_per_user))
    return EvidencePlan(
        evidence=evidence,
        requests_two_arms=int(np.ceil(pair)),
        requests=int(np.ceil(requests)),
        users=users,
        hours=end + wait,
        median_hours=course.median_hours + wait,
        expected_hours=course.expected_hours + wait,
        power=course.power,
        cost_percent=extra,
    )


def _why_not(rule: PromotionConfig, walk: Walk, *, is_shown: bool) -> str:
    if walk.effect <= walk.least_effect:
        return (
            f"the lift is not above min_improvement_percent ({setting_text(rule.min_improvement_percent)}):"
            " half of the time it is seen smaller than that, with any traffic; lower the threshold, or plan for more"
        )
    if walk.is_endless:
        return (
            f"not within three years: min_sample_size={rule.min_sample_size:,} and"
            f" min_conversions={rule.min_conversions:,} are not met before; lower them, or plan for more traffic"
        )
    if is_shown:
        return "not within three years with the other goals and the guardrails: a wider margin, more traffic, or fewer"
    return "not within three years: more traffic, a larger lift, fewer variants, or less power"


def _notes_of_waiting(evidences: Sequence[str]) -> list[str]:
    """Why lines of a table are alike."""
    if not evidences:
        return []
    return [
        f"{', '.join(evidences)}: the goal would be found sooner, and waits for the guardrails, which set the end of"
        " the plan alike in each of these lines (they have the always-valid test whatever the evidence is)"
    ]


def _notes_of_gates(traffic: Traffic, rule: PromotionConfig) -> list[str]:
    """What is asked for besides before an unattended promotion, and whether the figures have it."""
    notes = []
    if rule.whole_weeks:
        notes.append(
            f"whole_weeks: promoted unattended only at a whole number of weeks, or up to {LATE_HOURS} hours later; the"
            " figures count these hours alone"
        )
    if rule.min_conversions and not traffic.conversions_a_request:
        notes.append(
            f"min_conversions={rule.min_conversions:,} is NOT part of the figures: how many requests convert is not"
            " known; plan an experiment that has traffic by its name, or divide it by a rate that you expect"
        )
    elif rule.min_conversions:
        alone = PromotionConfig(min_sample_size=1, min_conversions=rule.min_conversions)
        notes.append(
            f"min_conversions: the smaller arm has {rule.min_conversions:,} conversions after"
            f" {hours_until_enough(traffic, alone):,.0f} h, and nothing is promoted unattended before"
        )
    return notes


def _notes(traffic: Traffic, aim: Aim, rule: PromotionConfig, guardrail: Course | None) -> tuple[str, ...]:
    notes = []
    if traffic.design_effect > 1.0:
        notes.append(
            f"returning users make the requests worth {1.0 / traffic.design_effect:.2f} of independent ones (design"
            f" effect {traffic.design_effect:.2f}); it grows while the same users come back"
        )
    if rule.min_improvement_percent > 0:
        notes.append(
            f"a lift is promoted only where it is seen as at least {setting_text(rule.min_improvement_percent)}:"
            " that is part of the figures"
        )
    notes += _notes_of_gates(traffic, rule)
    if aim.goals > 1:
        notes.append(f"{aim.goals} goals share the allowed error (Holm; planned for its first step)")
    if aim.guardrails:
        shown = (
            "cannot be shown within three years at this margin"
            if guardrail is None
            else f"are each shown within the margin after {guardrail.hours[-1]:,.0f} h"
        )
        notes.append(
            f"the {aim.guardrails} guardrails {shown}; goal and guardrails are planned for"
            f" {rate_text(float(power_of_each_test(aim.power, aim.guardrails)))} each (arXiv 2402.11609)"
        )
    return tuple(notes)
