"""The size at which each evidence has the wanted power: hours of looks, from the walk and the rule's boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import GroupSequentialSpending, PromotionConfig
from promotion_pipeline.evaluation.gates import WEEK_HOURS
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.evaluation.planned import SPENDING
from promotion_pipeline.planning.walk import LONGEST_HOURS, MOST_LOOKS, Walk, next_look
from promotion_pipeline.statistics import always_valid_critical_z, continuous_boundary, critical_z

BISECTIONS = 24
LOOKS_OF_A_TRIAL = 150
"""Enough to find the size of a plan, which more looks only help."""


@dataclass(frozen=True)
class Course:
    """How a plan goes: the chance that the rule has acted by each hour; the last hour is the plan's end."""

    hours: Floats
    acted: Floats

    @property
    def power(self) -> float:
        """By the end."""
        return float(self.acted[-1])

    @property
    def median_hours(self) -> float:
        """Age at which half of those that are found are found."""
        return float(self.hours[np.searchsorted(self.acted, self.acted[-1] / 2.0)])

    @property
    def expected_hours(self) -> float:
        """Mean age at the end: the promotion, or the plan's end without one."""
        waiting = np.concatenate([[1.0], 1.0 - self.acted[:-1]])
        return float(np.diff(self.hours, prepend=0.0) @ waiting)


def always_valid_course(walk: Walk, config: PromotionConfig, alpha: float, power: float) -> Course | None:
    """Until the always-valid interval at two-sided `alpha` has the power; None: not within three years."""
    planned = config.planned_sample_size

    def critical(hours: Floats) -> Floats:
        n_star = walk.n_star(hours) if planned is None else float(planned)
        return always_valid_critical_z(hours * walk.requests_per_hour, n_star, alpha)

    return first_with_power(walk, critical, _one_look(walk, alpha, power) / walk.requests_per_hour, power)


def group_sequential_course(walk: Walk, spending: GroupSequentialSpending, alpha: float, power: float) -> Course | None:
    """The smallest plan whose boundary at two-sided `alpha` has the power by its end; None: not within three years."""

    if walk.whole_weeks:
        return _of_whole_weeks(walk, spending, alpha, power)

    def course(planned: float, looks: int = LOOKS_OF_A_TRIAL) -> Course:
        # The last look is the last one within the plan.
        hours = walk.hours(max(walk.first_hour, int(planned / walk.requests_per_hour + 1e-9)), looks)
        clock = np.minimum(hours * walk.requests_per_hour / planned, 1.0)
        boundary = continuous_boundary(clock, alpha / 2.0, spending=SPENDING[spending])
        return Course(hours, walk.acted(hours, boundary))

    low = walk.first_hour * walk.requests_per_hour
    high = max(low, _one_look(walk, alpha, power))
    while course(high).power < power:
        low, high = high, high * 1.3
        if high > LONGEST_HOURS * walk.requests_per_hour:
            return None
    for _ in range(BISECTIONS):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if course(middle).power >= power else (middle, high)
        if high / low < 1.001:
            break
    return course(high, MOST_LOOKS)


def _of_whole_weeks(walk: Walk, spending: GroupSequentialSpending, alpha: float, power: float) -> Course | None:
    """The fewest whole weeks at whose end the plan has the power: more traffic than the last look has helps nobody."""
    first = max(walk.first_hour, int(_one_look(walk, alpha, power) / walk.requests_per_hour)) // WEEK_HOURS
    for end in range(max(first, 1) * WEEK_HOURS, LONGEST_HOURS + 1, WEEK_HOURS):
        if end < walk.first_hour:
            continue
        hours = walk.hours(end)
        boundary = continuous_boundary(hours / end, alpha / 2.0, spending=SPENDING[spending])
        course = Course(hours, walk.acted(hours, boundary))
        if course.power >= power:
            return course
    return None


def fixed_horizon_course(walk: Walk, alpha: float, power: float) -> Course | None:
    """Until a single look at the end has the power."""
    hours = max(walk.first_hour, int(np.ceil(_one_look(walk, alpha, power) / walk.requests_per_hour)))
    hours = next_look(hours, whole_weeks=walk.whole_weeks)
    if hours > LONGEST_HOURS:
        return None
    looks = np.array([float(hours)])
    return Course(looks, walk.acted(looks, np.asarray([float(critical_z(alpha))])))


def _one_look(walk: Walk, alpha: float, power: float) -> float:
    """Requests of the two arms at which a single look has the power; also against the least improvement."""
    reach = max(float(critical_z(1.0 - power, sides=1)), 0.0)
    significant = (
        walk.variance * ((float(critical_z(alpha)) + float(critical_z(1.0 - power, sides=1))) / walk.effect) ** 2
    )
    large = walk.variance * (reach / (walk.effect - walk.least_effect)) ** 2
    return max(significant, large)


def first_with_power(
    walk: Walk, critical: Callable[[Floats], Floats], guess_hours: float, power: float
) -> Course | None:
    """The looks until the boundary has been crossed with the power; None: not within three years.

    Args:
        critical: critical z at each hour.
        guess_hours: at least so long it will take.
    """
    if walk.is_endless:
        return None
    last = max(walk.first_hour + 24, int(1.5 * min(guess_hours, LONGEST_HOURS)))
    while True:
        last = min(last, LONGEST_HOURS)
        hours = walk.hours(last)
        acted = walk.acted(hours, critical(hours))
        if acted[-1] >= power:
            end = int(np.searchsorted(acted, power)) + 1
            return Course(hours[:end], acted[:end])
        if last == LONGEST_HOURS:
            return None
        last = int(1.6 * last) + 1
