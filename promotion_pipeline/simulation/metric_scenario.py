"""Which metrics a simulated experiment states beside its primary one, and what the first treatment does to them."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_pipeline.config import Covariate, Direction, MetricConfig, MetricKind, MetricRole
from promotion_pipeline.errors import InputError

MOST = 10
GUARDRAIL_KINDS = (MetricKind.USER_PROPORTION, MetricKind.USER_COUNT, MetricKind.REQUEST_MEAN)
"""Of the guardrails, in turn."""


@dataclass(frozen=True)
class SimulatedMetrics:
    """Goals are values a user, guardrails in turn a share of users, events a user and a mean of requests.

    A user has a habit that all of its metrics share, so that they correlate. Lifts are fractions and those of the first
    treatment; the others change nothing.

    Raises:
        InputError: a value is out of its bounds.
    """

    goals: int = 1
    guardrails: int = 0
    goal_lift: float = 0.0
    """Of the first goal; the other goals do not change."""
    guardrail_lift: float = 0.0
    """Of every guardrail; less is better, so above 0 is worse."""
    margin: float | None = 0.2
    """How much worse a guardrail may be; None: no sign of harm is asked for instead."""
    covariate_correlation: float | None = None
    """Between a user's value in the whole experiment and in the days before; None: no past is used."""

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float | None, float, float]] = {
            "goals": (self.goals, 0, MOST),
            "guardrails": (self.guardrails, 0, MOST),
            "goal_lift": (self.goal_lift, -0.9, 10),
            "guardrail_lift": (self.guardrail_lift, -0.9, 3),
            "margin": (self.margin, 0.0001, 1),
            "covariate_correlation": (self.covariate_correlation, 0, 0.7),
        }
        for name, (value, low, high) in bounds.items():
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}={value:g} is out of bounds: it must be from {low:g} to {high:g}")
        if self.goals + self.guardrails == 0:
            raise InputError("neither a goal nor a guardrail is simulated: leave the metrics out, or ask for one")

    @property
    def stated(self) -> tuple[MetricConfig, ...]:
        """As an experiment states them."""
        covariate = None if self.covariate_correlation is None else Covariate.SAME_METRIC_BEFORE
        goals = [
            MetricConfig(
                name=f"goal {number + 1}",
                kind=MetricKind.USER_MEAN,
                event=f"goal-{number + 1}",
                role=MetricRole.GOAL,
                covariate=covariate,
            )
            for number in range(self.goals)
        ]
        return (*goals, *(self._guardrail(number) for number in range(self.guardrails)))

    def _guardrail(self, number: int) -> MetricConfig:
        kind = GUARDRAIL_KINDS[number % len(GUARDRAIL_KINDS)]
        source = {"column": "latency_ms"} if kind is MetricKind.REQUEST_MEAN else {"event": f"guardrail-{number + 1}"}
        return MetricConfig(
            name=f"guardrail {number + 1}",
            kind=kind,
            role=MetricRole.GUARDRAIL,
            direction=Direction.DECREASE,
            margin_percent=None if self.margin is None else 100.0 * self.margin,
            **source,
        )

    @property
    def keeps_guardrails(self) -> bool:
        """Whether the first treatment makes no guardrail worse: by less than the margin where there is one."""
        return self.guardrails == 0 or self.guardrail_lift <= 0 or self.guardrail_lift < (self.margin or 0.0)
