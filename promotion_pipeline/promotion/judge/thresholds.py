"""The thresholds that an experiment is judged on: its own, and what a request brings."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig, Settings
from promotion_pipeline.config.precedence import Overruled
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.record.experiments import Experiment, thresholds_of


@dataclass(frozen=True)
class JudgedOn:
    """The thresholds that one experiment is judged on; `problem`: its own cannot be used."""

    used: PromotionConfig | None = None
    overruled: tuple[Overruled, ...] = ()
    is_overridden: bool = False
    problem: str | None = None


def judged_on(
    settings: Settings, experiment: Experiment, request: PromotionConfig | None, made_by: MadeBy | None
) -> JudgedOn:
    """The thresholds of one experiment; whoever acts without being a person gets the stricter of both."""
    is_unattended = made_by is not None and made_by is not MadeBy.PERSON
    try:
        found = thresholds_of(settings, experiment, request, is_unattended=is_unattended)
    except ConfigError as error:
        return JudgedOn(problem=str(error))
    deciding = set() if request is None else request.model_fields_set - ACTING_FIELDS
    is_overridden = any(getattr(found.used, name) != getattr(found.own, name) for name in deciding)
    return JudgedOn(found.used, found.overruled, is_overridden)
