"""What a plan is made from: the traffic that there will be, and the lift that is to be found in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from promotion_pipeline.errors import InputError
from promotion_pipeline.statistics import design_effect
from promotion_pipeline.text.numbers import setting_text

MOST_ARMS = 20
MOST_GOALS = 50
NO_TRAFFIC = (
    "a plan needs the requests of a day: give --requests-per-day, or plan an experiment that has traffic by its name"
)


@dataclass(frozen=True)
class Traffic:
    """Traffic and control's level of the metric. Rates and shares are fractions.

    Raises:
        InputError: a value is out of bounds; the message says what to give.
    """

    mean: float
    """Control's conversion rate, or mean value a request."""
    requests_per_day: float
    """Of all variants together."""
    shares: tuple[float, ...] = (0.5, 0.5)
    """Share of the requests of each variant, control first."""
    is_proportion: bool = True
    """The metric is a conversion rate: its variance follows from the rate."""
    relative_variance: float | None = None
    """Of the values: variance of one request over the squared mean; not needed of a rate."""
    requests_per_user: float | None = None
    """Mean over the plan; None: users are not known."""
    design_effect: float = 1.0
    """Variance of the mean over what it would be if requests were independent: what returning users cost."""
    conversion_rate: float | None = None
    """Conversions a request of control, where the metric is not that; None: not known."""
    source: str = "given numbers"
    """Where the numbers are from, in words."""

    def __post_init__(self) -> None:
        if not self.requests_per_day > 0 or not math.isfinite(self.requests_per_day):
            raise InputError(f"{self.requests_per_day:g} requests a day: {NO_TRAFFIC}")
        if self.is_proportion and not 0.0 < self.mean < 1.0:
            raise InputError(
                f"a rate of {self.mean:g} cannot be planned for: it must lie between 0 and 1 (5 % is 0.05); where"
                " nothing converts yet, let the experiment run until something does, or give the rate of the past"
            )
        if not self.is_proportion and not (self.mean > 0 and (self.relative_variance or 0.0) > 0):
            raise InputError(
                f"a mean of {self.mean:g} with relative variance {self.relative_variance or 0.0:g} cannot be planned"
                " for: both must be above 0"
            )
        if not 2 <= len(self.shares) <= MOST_ARMS or min(self.shares) <= 0 or abs(sum(self.shares) - 1.0) > 1e-6:
            raise InputError(
                f"shares {[round(share, 4) for share in self.shares]}: 2 to {MOST_ARMS} variants with some traffic each"
                " are needed, and their shares sum to 1"
            )
        if not self.design_effect >= 1.0:
            raise InputError(f"a design effect of {self.design_effect:g}: it is 1 (no user comes back) or more")
        if self.requests_per_user is not None and not self.requests_per_user >= 1.0:
            raise InputError(f"{self.requests_per_user:g} requests a user: everybody who is seen makes one at least")

    @classmethod
    def of_users(cls, mean: float, requests_per_day: float, requests_per_user: float, correlation: float) -> Traffic:
        """Even halves whose users make 1 + Poisson requests, of which two of one user correlate."""
        traffic = cls(mean, requests_per_day, requests_per_user=requests_per_user)
        return traffic.with_users(requests_per_user, correlation)

    def with_users(self, requests_per_user: float, correlation: float) -> Traffic:
        """The same whose users make 1 + Poisson(mean - 1) requests, of which two of one user correlate so much.

        Raises:
            InputError: fewer than one request a user, or a correlation outside [0, 1).
        """
        if not requests_per_user >= 1.0 or not 0.0 <= correlation < 1.0:
            raise InputError(
                f"{requests_per_user:g} requests a user that correlate by {correlation:g}: at least 1, and from 0 to"
                " under 1; --user-correlation 0.25 is that of a habit, 0 is chance"
            )
        squares = requests_per_user**2 + requests_per_user - 1.0
        found = float(design_effect(requests_per_user, squares, correlation))
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Traffic(**own | {"requests_per_user": requests_per_user, "design_effect": found})

    @property
    def conversions_a_request(self) -> float | None:
        """Of control; None: not known of a metric that is no conversion rate."""
        return self.mean if self.is_proportion else self.conversion_rate

    @property
    def treatments(self) -> int:
        """Variants that are compared with control."""
        return len(self.shares) - 1

    @property
    def pair(self) -> float:
        """Share of all requests that control and the smallest treatment have together."""
        return self.shares[0] + min(self.shares[1:])

    @property
    def treatment_share(self) -> float:
        """The smallest treatment's share of the requests of the pair."""
        return min(self.shares[1:]) / self.pair

    def relative_variance_at(self, mean: float) -> float:
        """Variance of one request over the squared mean, users taken into account, where the mean is this."""
        if self.is_proportion:
            return (1.0 - mean) / mean * self.design_effect
        assert self.relative_variance is not None
        return self.relative_variance * self.design_effect


@dataclass(frozen=True)
class Aim:
    """What is to be found. Fractions.

    Raises:
        InputError: a value is out of bounds; the message says what to give.
    """

    lift: float = 0.05
    """True relative improvement of one treatment, above 0; the others have none."""
    power: float = 0.8
    """Chance that it is promoted by the end of the plan."""
    goals: int = 1
    """Metrics that share the allowed error; the lift is that of one of them."""
    guardrails: int = 0
    """Metrics that must be shown not to be worse by the margin, and that the treatment does not change."""
    margin: float = 0.05
    """How much worse a guardrail may be, relative."""
    guardrail_rate: float | None = None
    """Rate of the guardrails; None: that of the metric."""
    guardrail_variance: float | None = None
    """Of the guardrails, of one request over the squared mean; None: that of the rate."""

    def __post_init__(self) -> None:
        if not 0.0 < self.lift <= 100.0:
            raise InputError(
                f"a lift of {setting_text(100 * self.lift)} cannot be planned for: it must be above 0;"
                " without a difference there is nothing to find (`simulate` measures how often nothing is found for"
                " something)"
            )
        if not 0.0 < self.power < 1.0:
            raise InputError(
                f"a power of {setting_text(100 * self.power)} has no finite plan: it must lie between 0 and 100,"
                " such as 80 or 90"
            )
        if not 1 <= self.goals <= MOST_GOALS or not 0 <= self.guardrails <= MOST_GOALS:
            raise InputError(
                f"{self.goals} goals and {self.guardrails} guardrails: 1 to {MOST_GOALS} and 0 to {MOST_GOALS} can be"
                " planned"
            )
        if not 0.0 < self.margin < 1.0:
            raise InputError(
                f"a margin of {setting_text(100 * self.margin)} is out of bounds: above 0 and under 100;"
                " that a guardrail is not worse by nothing at all cannot be shown with any traffic"
            )
        if self.guardrail_rate is not None and not 0.0 < self.guardrail_rate < 1.0:
            raise InputError(f"guardrail_rate={self.guardrail_rate:g} must lie between 0 and 1 (2 % is 0.02)")
