"""Outcomes to figures, each with its standard error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.simulation.outcomes import NOT_PROMOTED, Alarms, Outcomes, PromotionRule
from promotion_pipeline.simulation.scenario import Scenario

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error; both None where there is nothing to measure it on."""

    value: float | None
    standard_error: float | None

    def to_json(self) -> dict[str, float | None]:
        """Both numbers."""
        return {"value": self.value, "standardError": self.standard_error}


NOTHING = Estimate(None, None)


def share(hits: NDArray[np.bool_]) -> Estimate:
    """Share of true entries; its standard error with two hits and two misses added (Agresti and Coull 1998).

    The usual error would be 0 at no hit, and pretend to know.
    """
    count, n = int(hits.sum()), len(hits)
    smoothed = (count + 2) / (n + 4)
    return Estimate(count / n, float(np.sqrt(smoothed * (1 - smoothed) / (n + 4))))


def mean(values: Floats) -> Estimate:
    """Mean and its standard error; the latter None under two values."""
    if len(values) == 0:
        return NOTHING
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), error)


def median(values: Floats) -> Estimate:
    """Median; its standard error is half the distance of the order statistics one standard deviation of ranks apart."""
    if len(values) == 0:
        return NOTHING
    ordered = np.sort(values)
    step = np.sqrt(len(ordered)) / 2
    low = int(np.clip(np.floor((len(ordered) - 1) / 2 - step), 0, len(ordered) - 1))
    high = int(np.clip(np.ceil((len(ordered) - 1) / 2 + step), 0, len(ordered) - 1))
    error = float((ordered[high] - ordered[low]) / 2) if len(ordered) > 1 else None
    return Estimate(float(np.median(ordered)), error)


def _middle(hours: Floats) -> float | None:
    """The hour by which half is through; waiting for ever is inf."""
    found = float(np.sort(hours)[(len(hours) - 1) // 2])
    return found if np.isfinite(found) else None


@dataclass(frozen=True)
class RuleSummary:
    """How a rule fared. Shares are fractions of all experiments; lifts are fractions."""

    rule: PromotionRule
    false_promotions: Estimate
    """An arm that is no better than control was promoted."""
    power: Estimate
    """The best arm was promoted, where one is better than control."""
    wrong_arm: Estimate
    """Another arm than the best was promoted, where one is better than control."""
    median_hours: Estimate
    """Age of the experiment at the promotion, median over the promoted."""
    half_promoted_hours: float | None
    """Age by which half of all experiments were promoted; None: fewer were."""
    mean_lift: Estimate
    """Lift observed at the promotion, mean over the promoted."""
    exaggeration: Estimate
    """Observed over true lift at the promotion, mean over promoted arms that are better than control."""

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "rule": self.rule.value,
            "falsePromotions": self.false_promotions.to_json(),
            "power": self.power.to_json(),
            "wrongArm": self.wrong_arm.to_json(),
            "medianHours": self.median_hours.to_json(),
            "halfPromotedHours": self.half_promoted_hours,
            "meanLift": self.mean_lift.to_json(),
            "exaggeration": self.exaggeration.to_json(),
        }


@dataclass(frozen=True)
class SrmSummary:
    """Shares of experiments in which the sample ratio test alarmed."""

    unit: str
    """What was counted: "user" or "request"."""
    at_last_look: Estimate
    ever: Estimate
    sequential_ever: Estimate
    """By the test that is valid at every look."""

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "unit": self.unit,
            "atLastLook": self.at_last_look.to_json(),
            "ever": self.ever.to_json(),
            "sequentialEver": self.sequential_ever.to_json(),
        }


def summarise(rule: PromotionRule, outcomes: Outcomes, scenario: Scenario) -> RuleSummary:
    """Hold one rule's acts against the truth."""
    lifts = np.array((0.0, *scenario.true_lifts))
    promoted = outcomes.arm != NOT_PROMOTED
    true_lift = np.where(promoted, lifts[np.maximum(outcomes.arm, 0)], np.nan)
    best = lifts.max()
    better = promoted & (true_lift > 0)
    return RuleSummary(
        rule=rule,
        false_promotions=share(promoted & ~(true_lift > 0)),
        power=share(better & (true_lift == best)) if best > 0 else NOTHING,
        wrong_arm=share(promoted & (true_lift < best)) if best > 0 else NOTHING,
        median_hours=median(outcomes.hours[promoted]),
        half_promoted_hours=_middle(np.where(promoted, outcomes.hours, np.inf)),
        mean_lift=mean(outcomes.lift[promoted]),
        exaggeration=mean(outcomes.lift[better] / true_lift[better]),
    )


def summarise_alarms(unit: str, alarms: Alarms) -> SrmSummary:
    """Shares of experiments with an alarm."""
    return SrmSummary(unit, share(alarms.at_last_look), share(alarms.ever), share(alarms.sequential_ever))
