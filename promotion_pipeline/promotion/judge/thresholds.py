"""The thresholds that an experiment is judged on: its own, and what a request brings."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig, Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.evaluation.stricter import Overruled, stricter_of
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.record.experiments import Experiment, resolved_config


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
        own = resolved_config(settings, experiment)
        used, overruled = stricter_of(request, own) if is_unattended else (settings.threshold_config(own, request), ())
    except ConfigError as error:
        return JudgedOn(problem=str(error))
    deciding = set() if request is None else request.model_fields_set - ACTING_FIELDS
    return JudgedOn(used, overruled, any(getattr(used, name) != getattr(own, name) for name in deciding))
