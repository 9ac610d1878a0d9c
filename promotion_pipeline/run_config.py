"""What a person can set in the Launchpad; every field has a default, so an empty config is valid."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from promotion_pipeline.config import (
    Direction,
    Evidence,
    GroupSequentialSpending,
    Guardrail,
    PrimaryMetric,
    PromotionConfig,
    parse_config,
)


class ThresholdConfig(dg.Config):
    """Thresholds that override the environment's and the experiments' own; what is left out stays as it is."""

    min_sample_size: int | None = Field(default=None, description="Requests of the smaller arm.")
    min_confidence_level: float | None = Field(default=None, description="Percent.")
    min_improvement_percent: float | None = Field(default=None, description="Percent.")
    min_runtime_hours: float | None = Field(default=None, description="Hours.")
    max_error_rate: float | None = Field(default=None, description="A fraction: 0.05 is 5 percent.")
    planned_sample_size: int | None = Field(default=None, description="Requests of the two arms.")
    group_sequential_spending: str | None = Field(
        default=None, description=" or ".join(f"'{s.value}'" for s in GroupSequentialSpending)
    )
    lift_prior_sd_percent: float | None = Field(default=None, description="Percent; how far true lifts lie from 0.")
    attribution_window_hours: float | None = Field(default=None, description="Hours a request takes to mature.")
    evidence: str | None = Field(default=None, description=" or ".join(f"'{e.value}'" for e in Evidence))
    primary_metric: str | None = Field(default=None, description=" or ".join(f"'{m.value}'" for m in PrimaryMetric))
    direction: str | None = Field(default=None, description=" or ".join(f"'{d.value}'" for d in Direction))
    guardrails: list[str] | None = Field(
        default=None, description="Any of " + ", ".join(f"'{g.value}'" for g in Guardrail) + "; [] for none."
    )

    def thresholds(self) -> PromotionConfig:
        """The thresholds that were given.

        Raises:
            ConfigError: one of them is out of bounds.
        """
        given = {name: value for name, value in self if name in PromotionConfig.model_fields and value is not None}
        return parse_config(given, source="run config")


class EvaluationConfig(ThresholdConfig):
    """Empty in the hourly run. Thresholds or a label make it a what-if, stored beside the decisions of record."""

    experiments: list[str] = Field(default=[], description="Names; empty: every experiment that was running.")
    label: str = Field(default="", description="Name of the what-if; empty: 'latest'.")

    def is_what_if(self) -> bool:
        """Whether this asks about something else than the decisions of record.

        Raises:
            ConfigError: a threshold is out of bounds.
        """
        return bool(self.label.strip() or self.thresholds().model_fields_set)
