"""What a person can set in the Launchpad; only what an act cannot do without has no default."""

from __future__ import annotations

from typing import Any

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
from promotion_pipeline.orchestration.dagster_private import ConfigScalar, ConfigScalarKind, PostProcessingError


class _GivenText(ConfigScalar):
    """A text that says something: Dagster checks it when a run is launched, not when its step begins."""

    def __init__(self) -> None:
        super().__init__(key="GivenText", given_name="GivenText", scalar_kind=ConfigScalarKind.STRING)

    def post_process(self, value: object) -> object:
        """The text as it was given.

        Raises:
            PostProcessingError: it is blank.
        """
        if not str(value).strip():
            raise PostProcessingError("is empty: write a name or a reason here")
        return value


_GIVEN_TEXT = _GivenText()


def launchpad_schema(config: type[dg.Config]) -> dict[str, dg.Field]:
    """The fields of a config class for `config_schema` of an op; a text without a default must not be blank either.

    A constraint of pydantic would be checked in the run, after it was launched.
    """
    needed = {name for name, field in config.model_fields.items() if field.is_required() and field.annotation is str}
    return {
        name: dg.Field(_GIVEN_TEXT, description=field.description) if name in needed else field
        for name, field in config.to_fields_dict().items()
    }


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


class ActingConfig(ThresholdConfig):
    """Thresholds that say what to do with a decision, beside those that change it."""

    ramp_steps: list[float] | None = Field(default=None, description="Percent, step by step, such as [75, 100].")
    ramp_hold_hours: float | None = Field(default=None, description="Hours that each step but the last is held.")
    watch_hours: float | None = Field(default=None, description="Hours that it is watched after it has all traffic.")
    watch_error_rate_margin: float | None = Field(default=None, description="A fraction of requests.")
    watch_latency_margin_percent: float | None = Field(default=None, description="Percent.")
    watch_primary_margin_percent: float | None = Field(default=None, description="Percent, against before.")
    watch_primary_margin_to_control_percent: float | None = Field(
        default=None, description="Percent, while control gets traffic."
    )
    auto_rollback: bool | None = Field(default=None, description="Whether a breach rolls back without a person.")
    metadata: dict[str, Any] = Field(default={}, description="What else to keep with the record.")


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
