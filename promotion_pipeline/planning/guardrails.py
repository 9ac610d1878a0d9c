"""When a guardrail that the treatment does not change is shown to be within its margin, at every look of the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.planning.evidences import Course, first_with_power
from promotion_pipeline.planning.question import Aim, Traffic
from promotion_pipeline.planning.walk import Walk
from promotion_pipeline.statistics import always_valid_one_sided_interval, sample_size_noninferiority


def guardrail_course(traffic: Traffic, aim: Aim, config: PromotionConfig, walk: Walk, power: float) -> Course | None:
    """How a guardrail comes to be shown: until it is with `power`; None: not within three years.

    One-sided and always-valid at alpha / treatments, as `evaluation/goals.py` judges a guardrail with a margin.

    Args:
        walk: of the metric that is hoped to improve; the looks are the same.
    """
    rate, share = aim.guardrail_rate, traffic.treatment_share
    relative = traffic.relative_variance_at(traffic.mean)
    if rate is not None:
        relative = (1.0 - rate) / rate * traffic.design_effect
    elif aim.guardrail_variance is not None:
        relative = aim.guardrail_variance
    alpha = (1.0 - config.min_confidence_level / 100.0) / traffic.treatments
    # Less is better of most guardrails: control's mean counts with the margin added.
    factor = 1.0 + aim.margin
    guarded = replace(
        walk,
        effect=aim.margin,
        least_effect=0.0,
        variance=relative * (factor * factor / (1.0 - share) + 1.0 / share),
    )
    one_look = sample_size_noninferiority(relative, relative, aim.margin, power, alpha, share1=share)
    planned = config.planned_sample_size

    def critical(hours: Floats) -> Floats:
        n_star = guarded.n_star(hours) if planned is None else float(planned)
        reach = always_valid_one_sided_interval(0.0, 1.0, hours * guarded.requests_per_hour, n_star, alpha)
        return np.asarray(-reach.lower)

    return first_with_power(guarded, critical, float(one_look) / guarded.requests_per_hour, power)


def with_guardrails(goal: Course, guardrail: Course, guardrails: int) -> Course:
    """The goal's course where each of the guardrails must be shown too; taken to be independent."""
    end = max(goal.hours[-1], guardrail.hours[-1])
    hours = np.union1d(np.union1d(goal.hours, guardrail.hours), [end])
    shown = np.interp(hours, guardrail.hours, guardrail.acted, left=0.0)
    return Course(hours, np.interp(hours, goal.hours, goal.acted, left=0.0) * shown**guardrails)
