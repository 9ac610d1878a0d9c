"""The thresholds of a decision and of what is done about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from promotion_pipeline.config.aliases import by_field, known_names
from promotion_pipeline.config.checking import validated
from promotion_pipeline.config.choices import Direction, Evidence, GroupSequentialSpending, Guardrail, PrimaryMetric
from promotion_pipeline.config.metrics import MetricConfig, checked_metrics, read_metrics
from promotion_pipeline.config.values import LONGEST_SHOWN, as_number

MOST_REQUESTS = 10**15
"""Of a sample size: a number that no experiment reaches is a mistake, and beyond it numbers are not exact."""
HIGHEST_MARGIN = 0.25
"""Of an error rate: above it percent were meant."""

SMALLEST_HOLDBACK_PERCENT = 0.1


class Unit(StrEnum):
    """What a contract check counts in."""

    REQUESTS = "requests"
    """Whole requests."""
    PERCENT = "%"
    """Percent already, not a fraction."""
    HOURS = "hours"
    """Hours, with a fraction."""
    FRACTION = "fraction"
    """Between 0 and 1; shown as percent."""


@dataclass(frozen=True)
class OfContract:
    """Marks the field of `PromotionConfig` that is the threshold of a contract check."""

    unit: Unit
    is_most: bool = False
    """What is observed may at most be this much; else it must be at least this much."""


class PromotionConfig(BaseModel):
    """Thresholds of one evaluation; rates are fractions, `_percent` and confidence are percent.

    Field names are snake_case in Python and camelCase in JSON; either is accepted. Only the fields
    that were given override a weaker layer.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=to_camel,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    min_sample_size: Annotated[int, Field(ge=1, le=MOST_REQUESTS), OfContract(Unit.REQUESTS)] = 1000
    """Requests that the smaller of control and candidate must have."""
    min_confidence_level: Annotated[float, Field(gt=50.0, lt=100.0), OfContract(Unit.PERCENT)] = 95.0
    """Percent; 100 * (1 - two-sided p-value) of the pooled z-test must reach it."""
    min_improvement_percent: Annotated[float, Field(ge=0.0, le=1000.0), OfContract(Unit.PERCENT)] = 5.0
    """Percent by which the candidate's rate must exceed control's."""
    min_runtime_hours: Annotated[float, Field(ge=0.0, le=24 * 366), OfContract(Unit.HOURS)] = 48.0
    """Hours that control and candidate must both have been measured for in this phase, at the as-of."""
    max_error_rate: Annotated[float, Field(ge=0.0, le=1.0), OfContract(Unit.FRACTION, is_most=True)] = 0.05
    """Fraction of the candidate's requests that may have failed."""
    require_manual_approval: bool = False
    """Eligible experiments wait for a person even when the evidence is there."""
    evidence: Evidence = Evidence.ALWAYS_VALID
    """What an unattended promotion needs beyond the contract."""
    planned_sample_size: Annotated[int, Field(ge=100, le=MOST_REQUESTS)] | None = None
    """Requests of the two compared arms that the experiment was planned for; tunes the always-valid interval, and is
    the end of the plan that the group-sequential boundary is for. Changed after the first look: a new phase."""
    group_sequential_spending: GroupSequentialSpending = GroupSequentialSpending.OBRIEN_FLEMING
    """Spending function of that boundary."""
    lift_prior_sd_percent: Annotated[float, Field(gt=0.0, le=1000.0)] = 10.0
    """How large true lifts usually are: the standard deviation, around 0, that the lift is shrunk towards."""
    max_staleness_hours: Annotated[float, Field(gt=0.0, le=24 * 31)] = 2.0
    """An unattended promotion needs a request of the experiment at most this long before the as-of."""
    ramp_steps: Annotated[tuple[float, ...], Field(min_length=1, max_length=20)] = (100.0,)
    """Percent of traffic that the winner gets, step by step; rising, the last one 100."""
    ramp_hold_hours: Annotated[float, Field(ge=0.0, le=24 * 31)] = 24.0
    """Hours that each ramp step but the last is held and watched."""
    holdback_percent: Annotated[float, Field(ge=0.0, le=50.0)] = 0.0
    """Percent of traffic that control keeps for a while after the ramp, to measure what the winner brings; 0: none."""
    holdback_days: Annotated[float, Field(gt=0.0, le=92.0)] = 14.0
    """Days that the holdback lasts, from when it is served; then the winner gets all traffic by itself."""
    watch_hours: Annotated[float, Field(ge=0.0, le=24 * 31)] = 48.0
    """Hours that a promotion is watched after it reached 100 percent."""
    watch_error_rate_margin: Annotated[float, Field(ge=0.0, le=HIGHEST_MARGIN)] = 0.005
    """Fraction of requests; the watch finds a breach where the winner's error rate exceeds that of before by it."""
    watch_latency_margin_percent: Annotated[float, Field(ge=0.0, le=1000.0)] = 20.0
    """Percent by which the winner's mean latency must exceed that of before to be a breach."""
    watch_primary_margin_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 10.0
    """Percent by which the winner's primary metric must be worse than before, once control gets no traffic."""
    watch_primary_margin_to_control_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 3.0
    """Percent by which it must be worse than control's at the same time, while that gets traffic."""
    auto_rollback: bool = False
    """A breach seen by the watch rolls the promotion back without a person."""
    approval_expiry_hours: Annotated[float, Field(gt=0.0, le=24 * 366)] = 168.0
    """Hours after which an unanswered approval request expires."""
    attribution_window_hours: Annotated[float, Field(ge=0.0, le=24 * 92)] = 0.0
    """Only requests older than this at the as-of are judged, and only their stretch counts as runtime; 0 judges all."""
    primary_metric: PrimaryMetric = PrimaryMetric.CONVERSION
    """The metric that the experiment is decided on."""
    direction: Direction = Direction.INCREASE
    """Which way the primary metric improves."""
    whole_weeks: bool = False
    """Promote unattended only at a whole number of weeks since the phase's start, or up to six hours later."""
    min_conversions: Annotated[int, Field(ge=0, le=MOST_REQUESTS)] = 0
    """Conversions that the arm with fewer of them must have for an unattended promotion."""
    guardrails: tuple[Guardrail, ...] = ()
    """What may not get worse in an unattended promotion."""
    metrics: tuple[MetricConfig, ...] = ()
    """Goals, guardrails and secondary metrics beside the primary one: a list of objects, which each experiment states
    itself. In the environment they are refused: nothing would be summed up of them."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _metrics_may_be_text(cls, value: object) -> object:
        return read_metrics(value)

    @field_validator("metrics")
    @classmethod
    def _metrics_fit_together(cls, metrics: tuple[MetricConfig, ...]) -> tuple[MetricConfig, ...]:
        return checked_metrics(metrics)

    @field_validator("max_error_rate", "watch_error_rate_margin", mode="before")
    @classmethod
    def _explain_percent(cls, value: object, info: ValidationInfo) -> object:
        most = 1.0 if info.field_name == "max_error_rate" else HIGHEST_MARGIN
        number = as_number(value)
        if number is None:
            return value
        if number > most:
            raise ValueError(
                f"{str(value)[:LONGEST_SHOWN]} is above {most:g}: it is a fraction, so {number:g} % is written"
                f" {number / 100:g}"
                f" (and {number:g} as a fraction would mean {number * 100:g} %, which is out of bounds)"
            )
        return value

    @field_validator("min_confidence_level", mode="before")
    @classmethod
    def _explain_fraction(cls, value: object) -> object:
        number = as_number(value)
        if number is None:
            return value
        if 0.5 <= number <= 1.0:
            raise ValueError(f"{str(value)[:LONGEST_SHOWN]} is a fraction: it is percent, so write {number * 100:g}")
        return value

    @field_validator("ramp_steps")
    @classmethod
    def _ramp_rises_to_all(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in itertools.pairwise(steps))
        if not rising or steps[0] <= 0 or steps[-1] != 100.0:
            raise ValueError(f"{list(steps)} must rise and end at 100, for example [75, 100]")
        return steps

    @field_validator("holdback_percent")
    @classmethod
    def _holdback_can_be_served(cls, percent: float) -> float:
        if 0.0 < percent < SMALLEST_HOLDBACK_PERCENT:
            raise ValueError(
                f"{percent:g} is too little to measure anything with: it is percent of the traffic, at least"
                f" {SMALLEST_HOLDBACK_PERCENT:g} (or 0 for none)"
            )
        return percent

    def to_json(self) -> dict[str, Any]:
        """Every threshold by its snake_case name, as JSON values: what a record of the config holds."""
        return self.model_dump(mode="json")


CONTRACT_THRESHOLDS: dict[str, OfContract] = {
    name: mark
    for name, field in PromotionConfig.model_fields.items()
    for mark in field.metadata
    if isinstance(mark, OfContract)
}
"""Field of `PromotionConfig` -> what marks it as the threshold of a contract check; `evaluation/contract.py` has the
check."""
DOOR_THRESHOLDS = (*CONTRACT_THRESHOLDS, "require_manual_approval", "evidence")
"""Those that have an option of the command line, and a query parameter, of their own."""

ACTING_FIELDS = frozenset(
    {
        "require_manual_approval",
        "max_staleness_hours",
        "ramp_steps",
        "ramp_hold_hours",
        "holdback_percent",
        "holdback_days",
        "watch_hours",
        "watch_error_rate_margin",
        "watch_latency_margin_percent",
        "watch_primary_margin_percent",
        "watch_primary_margin_to_control_percent",
        "auto_rollback",
        "approval_expiry_hours",
    }
)
"""Thresholds that say what to do with a decision; every other one changes the decision."""


def meaning_of(field: str) -> str:
    """What a threshold means, in the words below its field."""
    return " ".join((PromotionConfig.model_fields[field].description or "").split())


_LISTS = frozenset(
    name
    for name, field in PromotionConfig.model_fields.items()
    if get_origin(field.annotation) is tuple and name != "metrics"
)
"""Lists of words or numbers; metrics are objects, and commas part what is inside them."""


def parse_config(values: Mapping[str, Any], *, source: str = "config") -> PromotionConfig:
    """Check a mapping of thresholds, names in snake_case or camelCase.

    Raises:
        ConfigError: a name is unknown (with a suggestion) or a value out of bounds.
    """
    return _parsed(values, source, str)


def parse_texts(values: Mapping[str, object], *, source: str, shown: Callable[[str], str] = str) -> PromotionConfig:
    """The same of what people wrote as text: names may have hyphens, and commas part the members of a list.

    Args:
        shown: how the source writes a name, for the messages.

    Raises:
        ConfigError: a name is unknown (with a suggestion) or a value out of bounds.
    """
    texts = {name.strip().replace("-", "_"): value for name, value in values.items()}
    known = known_names(PromotionConfig.model_fields)
    return _parsed({name: _members(known.get(name, name), value) for name, value in texts.items()}, source, shown)


def _parsed(values: Mapping[str, object], source: str, shown: Callable[[str], str]) -> PromotionConfig:
    given, names = dict[str, object](), dict[str, str]()
    for field, name, value in by_field(values, PromotionConfig.model_fields, source):
        given[field], names[field] = value, shown(name)
    return validated(PromotionConfig, given, source, names)


def _members(field: str, value: object) -> object:
    if field not in _LISTS or not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]
