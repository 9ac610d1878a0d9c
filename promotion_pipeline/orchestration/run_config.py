"""What a person can set in the Launchpad; only what an act cannot do without has no default."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field, create_model

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig, meaning_of, parse_config
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


ASKING = frozenset({"require_manual_approval", "max_staleness_hours", "approval_expiry_hours"})
"""When a person is asked, and how long: who acts from the Launchpad is that person."""


def _field(name: str) -> tuple[Any, Any]:
    """A threshold as a field of the Launchpad; None: it stays as it is."""
    about = PromotionConfig.model_fields[name]
    kind, described = (get_args(about.annotation) or (about.annotation,))[0], meaning_of(name)
    kind = getattr(kind, "__origin__", kind)
    if issubclass(kind, StrEnum):
        described = f"{described} One of {', '.join(repr(word.value) for word in kind)}."
        kind = str
    if issubclass(kind, BaseModel):
        kind = dict
    shape = list[kind] if get_origin(about.annotation) is tuple else kind  # type: ignore[valid-type]
    return shape | None, Field(default=None, description=described)


class _Thresholds(dg.Config):
    """Thresholds that override the environment's and the experiments' own; what is left out stays as it is."""

    def thresholds(self) -> PromotionConfig:
        """The thresholds that were given.

        Raises:
            ConfigError: one of them is out of bounds.
        """
        given = {name: value for name, value in self if name in PromotionConfig.model_fields and value is not None}
        return parse_config(given, source="run config")


class ThresholdConfig(
    create_model(  # type: ignore[misc]
        "DecidingThresholds",
        __base__=_Thresholds,
        **{name: _field(name) for name in PromotionConfig.model_fields if name not in ACTING_FIELDS},
    )
):
    """Thresholds that change a decision."""


class ActingConfig(
    create_model(  # type: ignore[misc]
        "ActingThresholds",
        __base__=ThresholdConfig,
        **{name: _field(name) for name in PromotionConfig.model_fields if name in ACTING_FIELDS - ASKING},
    )
):
    """Thresholds that say what to do with a decision, beside those that change it."""

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
