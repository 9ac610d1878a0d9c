"""A planned experiment as a walk: its looks, where each stands, and the chance that each rule has acted by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import Direction, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.compare import N_STAR_PER_FIRST_TRAFFIC, SMALLEST_N_STAR
from promotion_pipeline.evaluation.gates import LATE_HOURS, WEEK_HOURS
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.evaluation.sums import FIRST_TRAFFIC_HOURS
from promotion_pipeline.planning.question import Aim, Traffic
from promotion_pipeline.statistics import crossing_probabilities
from promotion_pipeline.text.numbers import setting_text

MOST_LOOKS = 600
"""More are thinned out: the chances of a long plan are then a little too small, never too large."""
LONGEST_HOURS = 24 * 366 * 3
"""A plan that takes longer is none."""


@dataclass(frozen=True)
class Walk:
    """One metric of control and the smallest treatment, seen at hourly looks. Requests are those of the two arms."""

    requests_per_hour: float
    first_hour: int
    """The first look at which the contract allows anything."""
    effect: float
    """The true effect, above 0: the log of the ratio of the means."""
    least_effect: float
    """The observed effect that `min_improvement_percent` asks for."""
    variance: float
    """Variance of the estimated effect times the requests of the two arms."""
    whole_weeks: bool = False
    """Only looks at a whole number of weeks, or up to some hours later, lead to a promotion."""

    @property
    def is_endless(self) -> bool:
        """The contract allows nothing within three years."""
        return self.first_hour > LONGEST_HOURS

    def hours(self, last: int, most_looks: int = MOST_LOOKS) -> Floats:
        """Hours at which a look may lead to a promotion, up to `last`, and one at least."""
        if self.whole_weeks:
            weeks = np.arange(WEEK_HOURS, last + 1, WEEK_HOURS)[:, None]
            after = np.arange(LATE_HOURS if len(weeks) * LATE_HOURS <= most_looks else 1)
            all_looks = (weeks + after).ravel().astype(np.float64)
            found = all_looks[(all_looks >= self.first_hour) & (all_looks <= last)]
            return found if found.size else np.array([float(self.first_hour)])
        step = max(1, -(-(last - self.first_hour) // most_looks))
        looks = np.arange(self.first_hour, last + 1, step, dtype=np.float64)
        return np.union1d(looks, [float(max(last, self.first_hour))])

    def n_star(self, hours: Floats) -> Floats:
        """What the always-valid interval is tuned for where no size is planned, as the evaluation has it."""
        seen = max(N_STAR_PER_FIRST_TRAFFIC * FIRST_TRAFFIC_HOURS * self.requests_per_hour, SMALLEST_N_STAR)
        return np.where(hours >= FIRST_TRAFFIC_HOURS, seen, SMALLEST_N_STAR)

    def acted(self, hours: Floats, critical_z: Floats) -> Floats:
        """Chance that the rule has acted by each look: its boundary and the least improvement, both at one look."""
        n = hours * self.requests_per_hour
        wanted = np.maximum(critical_z, self.least_effect * np.sqrt(n / self.variance))
        return crossing_probabilities(n, np.where(np.isnan(critical_z), np.nan, wanted), self.drift)

    @property
    def drift(self) -> float:
        """z expected at one request."""
        return self.effect / float(np.sqrt(self.variance))


def walk_of(traffic: Traffic, aim: Aim, config: PromotionConfig) -> Walk:
    """The walk of the metric that is hoped to improve.

    Raises:
        InputError: the lift takes the metric out of its range.
    """
    sign = 1.0 if config.direction is Direction.INCREASE else -1.0
    improved = traffic.mean * (1.0 + sign * aim.lift)
    if improved <= 0.0 or (traffic.is_proportion and improved >= 1.0):
        raise_out_of_range(traffic.mean, aim.lift, improved)
    share = traffic.treatment_share
    variance = (
        traffic.relative_variance_at(traffic.mean) / (1.0 - share) + traffic.relative_variance_at(improved) / share
    )
    rate = traffic.requests_per_day / 24.0 * traffic.pair
    enough = hours_until_enough(traffic, config)
    least = 1.0 + sign * config.min_improvement_percent / 100.0
    return Walk(
        requests_per_hour=rate,
        first_hour=next_look(int(np.ceil(max(config.min_runtime_hours, enough, 1.0))), whole_weeks=config.whole_weeks),
        effect=abs(float(np.log1p(sign * aim.lift))),
        least_effect=abs(float(np.log(least))) if least > 0 else float("inf"),
        variance=variance,
        whole_weeks=config.whole_weeks,
    )


def hours_until_enough(traffic: Traffic, config: PromotionConfig) -> float:
    """Hours until the smaller arm has the least sample and the least conversions that are asked for.

    Conversions are counted at control's rate; where that is not known they are left out.
    """
    share = min(traffic.treatment_share, 1.0 - traffic.treatment_share)
    requests = float(config.min_sample_size)
    if traffic.conversions_a_request:
        requests = max(requests, config.min_conversions / traffic.conversions_a_request)
    return requests / (share * traffic.requests_per_day / 24.0 * traffic.pair)


def next_look(hour: int, *, whole_weeks: bool) -> int:
    """The first hour from this one on at which a promotion may go unattended."""
    if not whole_weeks or (hour >= WEEK_HOURS and hour % WEEK_HOURS < LATE_HOURS):
        return hour
    return -(-hour // WEEK_HOURS) * WEEK_HOURS


def raise_out_of_range(mean: float, lift: float, improved: float) -> None:
    """Say that a lift cannot be.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"a lift of {setting_text(100 * lift)} takes the metric from {mean:g} to {improved:g},"
        " which it cannot be; plan for a smaller lift"
    )
