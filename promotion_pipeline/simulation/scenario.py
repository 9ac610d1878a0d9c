"""What is simulated: arms, traffic, rates, users, delays, split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError
from promotion_pipeline.simulation.metric_scenario import SimulatedMetrics

MAX_DAYS = 366
MAX_ARMS = 20
SPLIT_TOLERANCE_PERCENT = 0.05


@dataclass(frozen=True)
class Scenario:
    """One kind of experiment. Rates, lifts and correlations are fractions.

    Requests arrive as a Poisson process whose rate swings over the day. Without `requests_per_user` no user is known
    and every request converts by itself. With it, each arm has an audience; a member makes 1 + Poisson(mean - 1)
    requests, at moments drawn from the traffic of a window of `visit_days` (windows start evenly, so that members come
    and go) or of the whole experiment (the same members keep coming back, first visits crowd into the first days).
    A member's own conversion rate is drawn from a beta distribution of mean rate and variance
    correlation * rate * (1 - rate), so that two of its requests correlate by `user_correlation`. Besides, one
    user_id may make a share of every arm's requests: a placeholder for people who are not known, or a bot.

    Raises:
        InputError: a value is out of its bounds; the message says which.
    """

    arms: int = 2
    """Variants, control among them."""
    requests_per_hour: float = 200.0
    """Mean requests an hour and arm."""
    base_rate: float = 0.05
    """Control's conversion rate."""
    lifts: tuple[float, ...] = (0.0,)
    """True relative lift of each treatment; treatments beyond the list have none."""
    days: float = 14.0
    """How long each experiment runs."""
    look_every_hours: int = 1
    """Hours between two looks."""
    weekly_swing: float = 0.0
    """0.3: at the week's height there is 1.3 times the mean traffic, of which 1.3 times the usual share converts."""
    daily_swing: float = 0.0
    """0.5: the traffic of the busiest hour of a day is 1.5, that of the quietest 0.5 times the mean."""
    requests_per_user: float | None = None
    """Mean requests of a user; None: users are not known."""
    user_correlation: float = 0.25
    """Correlation between the conversions of two requests of one user."""
    visit_days: float | None = None
    """Window that a user's visits are spread over; None: the whole experiment."""
    guest_share: float = 0.0
    """Share of every arm's requests that carry one and the same user_id for people who are not known."""
    bot_share: float = 0.0
    """Share of every arm's requests that a bot makes, which converts at a rate of its own."""
    bots_apart: bool = False
    """Another bot in every arm, each with its own rate; else the same bot in all."""
    power_law: float | None = None
    """Tail of the requests of a user, P(count >= c) ~ c^-power_law: at 1.2 a few make thousands; None: 1 + Poisson."""
    delays_hours: tuple[float, ...] = (0.0,)
    """Mean hours (exponential) until a conversion is seen: control, first treatment, ...; the last one repeats."""
    declared_split: tuple[float, ...] | None = None
    """Percent of traffic that each arm should get; None: even."""
    true_split: tuple[float, ...] | None = None
    """Percent of traffic that each arm does get; None: as declared."""
    metrics: SimulatedMetrics | None = None
    """What is stated beside the primary metric; needs users."""

    def __post_init__(self) -> None:
        self._check_bounds()
        self._check_lists()
        if not all(0.0 < rate * (1.0 + self.weekly_swing) < 1.0 for rate in self.arm_rates):
            raise InputError(
                f"base_rate={self.base_rate:g} with lifts {list(self.lifts)} makes rates {list(self.arm_rates)}:"
                " all must lie between 0 and 1"
            )

    def _check_bounds(self) -> None:
        bounds: dict[str, tuple[float | None, float, float]] = {
            "arms": (self.arms, 2, MAX_ARMS),
            "requests_per_hour": (self.requests_per_hour, 0.01, 1e6),
            "days": (self.days, 1 / 24, MAX_DAYS),
            "look_every_hours": (self.look_every_hours, 1, 24 * MAX_DAYS),
            "daily_swing": (self.daily_swing, 0, 1),
            "weekly_swing": (self.weekly_swing, 0, 0.9),
            "requests_per_user": (self.requests_per_user, 1, 10_000),
            "user_correlation": (self.user_correlation, 0, 0.99),
            "visit_days": (self.visit_days, 1 / 24, MAX_DAYS),
            "guest_share": (self.guest_share, 0, 0.99),
            "bot_share": (self.bot_share, 0, 0.99),
            "power_law": (self.power_law, 1.01, 10),
        }
        for name, (value, low, high) in bounds.items():
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}={value:g} is out of bounds: it must be from {low:g} to {high:g}")
        for name in ("visit_days", "power_law", "guest_share", "bot_share", "metrics"):
            if getattr(self, name) and self.requests_per_user is None:
                raise InputError(f"{name} needs users: set requests_per_user, for example 10")
        if self.guest_share + self.bot_share > 0.99:
            raise InputError(
                f"guest_share={self.guest_share:g} and bot_share={self.bot_share:g} leave others less than 1 percent:"
                " together they may be 0.99"
            )

    def _check_lists(self) -> None:
        if len(self.lifts) > self.arms - 1:
            raise InputError(f"{len(self.lifts)} lifts for {self.arms - 1} treatments; give one a treatment, or fewer")
        if not 1 <= len(self.delays_hours) <= self.arms or min(self.delays_hours) < 0:
            raise InputError(f"delays_hours={list(self.delays_hours)}: give one to {self.arms} numbers of 0 or more")
        for name in ("declared_split", "true_split"):
            split: tuple[float, ...] | None = getattr(self, name)
            if split is None:
                continue
            if len(split) != self.arms or min(split) <= 0 or abs(sum(split) - 100.0) > SPLIT_TOLERANCE_PERCENT:
                raise InputError(f"{name}={list(split)} must be {self.arms} numbers above 0 that sum to 100")

    @property
    def hours(self) -> int:
        """Whole hours that an experiment runs."""
        return max(1, round(self.days * 24))

    @property
    def arm_lifts(self) -> tuple[float, ...]:
        """True lift of every treatment."""
        return self.lifts + (0.0,) * (self.arms - 1 - len(self.lifts))

    @property
    def arm_rates(self) -> tuple[float, ...]:
        """True conversion rate of every arm, control first."""
        return (self.base_rate, *(self.base_rate * (1.0 + lift) for lift in self.arm_lifts))

    @property
    def arm_delays_hours(self) -> tuple[float, ...]:
        """Mean hours until a conversion is seen, of every arm."""
        return self.delays_hours + (self.delays_hours[-1],) * (self.arms - len(self.delays_hours))

    @property
    def declared_percent(self) -> tuple[float, ...]:
        """Declared split, control first."""
        return self.declared_split or (100.0 / self.arms,) * self.arms

    @property
    def arm_requests_per_hour(self) -> NDArray[np.float64]:
        """Mean requests an hour of every arm, as the true split has it."""
        share = np.array(self.true_split or self.declared_percent)
        return np.asarray(self.requests_per_hour * self.arms * share / share.sum())

    @property
    def traffic(self) -> NDArray[np.float64]:
        """Relative traffic of each hour, shape (hours,), mean about 1 over whole weeks."""
        return self.level * (1.0 + self.daily_swing * np.sin(2 * np.pi * (np.arange(self.hours) % 24) / 24))

    @property
    def level(self) -> NDArray[np.float64]:
        """How much of the usual each hour of the week has, of traffic and of conversions a request, shape (hours,)."""
        return 1.0 + self.weekly_swing * np.sin(2 * np.pi * (np.arange(self.hours) % 168) / 168)

    @property
    def true_lifts(self) -> tuple[float, ...]:
        """What each treatment is worth: the lift of the first goal where goals are stated, else of the primary metric.

        A treatment that makes a guardrail worse than its margin is worth nothing, whatever it lifts.
        """
        stated = self.metrics
        if stated is None:
            return self.arm_lifts
        lifts = self.arm_lifts if stated.goals == 0 else (stated.goal_lift,) + (0.0,) * (self.arms - 2)
        return lifts if stated.keeps_guardrails else (min(lifts[0], 0.0), *lifts[1:])
