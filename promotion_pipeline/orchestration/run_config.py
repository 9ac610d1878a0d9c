"""What a person can set in the Launchpad; only what an act cannot do without has no default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field, create_model

from promotion_pipeline.config import ACTING_FIELDS, PromotionConfig, meaning_of, parse_config
from promotion_pipeline.errors import InputError, PromotionError
from promotion_pipeline.orchestration.dagster_private import ConfigScalar, ConfigScalarKind, PostProcessingError
from promotion_pipeline.store.clock import parse_instant


class _CheckedText(ConfigScalar):
    """A text that Dagster checks when a run is launched, not when its step begins.

    Args:
        key: its name among the types of the code location.
        refuse: raises a PromotionError where the text cannot be used.
    """

    def __init__(self, key: str, refuse: Callable[[str], object]) -> None:
        super().__init__(key=key, given_name=key, scalar_kind=ConfigScalarKind.STRING)
        self._refuse = refuse

    def post_process(self, value: object) -> object:
        """The text as it was given.

        Raises:
            PostProcessingError: it cannot be used.
        """
        return _unless_refused(value, lambda: self._refuse(str(value)))


class _Threshold(dg.Noneable):
    """A threshold that may be left out, checked when a run is launched."""

    def __init__(self, name: str, inner: object) -> None:
        super().__init__(inner)
        self.key = f"Threshold.{name}"
        self._name = name

    def post_process(self, value: object) -> object:
        """The threshold as it was given.

        Raises:
            PostProcessingError: it is out of bounds.
        """
        return value if value is None else _unless_refused(value, lambda: _parsed({self._name: value}))


def _unless_refused(value: object, check: Callable[[], object]) -> object:
    try:
        check()
    except PromotionError as error:
        raise PostProcessingError(" ".join(str(error).split())) from None
    return value


def _parsed(given: Mapping[str, object]) -> PromotionConfig:
    return parse_config(given, source="run config")


def _not_blank(text: str) -> None:
    if not text.strip():
        raise InputError("is empty: write a name or a reason here")


def _time_or_blank(text: str) -> None:
    if text.strip():
        parse_instant(text, "the time")


_GIVEN_TEXT = _CheckedText("GivenText", _not_blank)
TIME = _CheckedText("TimeOrNothing", _time_or_blank)
"""A time with its zone, or nothing."""


@cache
def words(kind: type[StrEnum]) -> dg.Enum:
    """One of a few words, spelled as at every other door; Dagster's own way to an enum takes its members' names."""
    return dg.Enum(kind.__name__, [dg.EnumValue(word.value) for word in kind])


@cache
def _threshold_type(name: str) -> _Threshold:
    kind, is_list = _kind_of(name)
    inner = words(kind) if issubclass(kind, StrEnum) else kind
    return _Threshold(name, dg.Array(inner) if is_list else inner)


def launchpad_schema(config: type[dg.Config], **types: object) -> dict[str, dg.Field]:
    """The fields of a config class for `config_schema` of an op: what cannot be used is refused before there is a run.

    A constraint of pydantic would be checked in the run, after it was launched. A text without a default must not be
    blank, a threshold must be within its bounds.

    Args:
        types: of fields that are to be checked in another way.
    """
    needed = {name for name, field in config.model_fields.items() if field.is_required() and field.annotation is str}
    fields = config.to_fields_dict()
    checked: dict[str, object] = dict.fromkeys(needed, _GIVEN_TEXT)
    checked |= {name: _threshold_type(name) for name in fields if name in PromotionConfig.model_fields}
    return {name: _retyped(field, {**checked, **types}.get(name)) for name, field in fields.items()}


def _retyped(field: dg.Field, kind: object) -> dg.Field:
    if kind is None:
        return field
    default = {"default_value": field.default_value} if field.default_provided else {}
    return dg.Field(kind, is_required=field.is_required, description=field.description, **default)


ASKING = frozenset({"require_manual_approval", "max_staleness_hours", "approval_expiry_hours"})
"""When a person is asked, and how long: who acts from the Launchpad is that person."""


def _kind_of(name: str) -> tuple[type, bool]:
    """What a threshold holds, and whether it is a list of that; what has fields of its own is a dict here."""
    about = PromotionConfig.model_fields[name]
    kind = (get_args(about.annotation) or (about.annotation,))[0]
    kind = getattr(kind, "__origin__", kind)
    return dict if issubclass(kind, BaseModel) else kind, get_origin(about.annotation) is tuple


def _field(name: str) -> tuple[Any, Any]:
    """A threshold as a field of the Launchpad; None: it stays as it is."""
    (kind, is_list), described = _kind_of(name), meaning_of(name)
    if issubclass(kind, StrEnum):
        described = f"{described} One of {', '.join(repr(word.value) for word in kind)}."
        kind = str
    shape = list[kind] if is_list else kind  # type: ignore[valid-type]
    return shape | None, Field(default=None, description=described)


class _Thresholds(dg.Config):
    """Thresholds that override the environment's and the experiments' own; what is left out stays as it is."""

    def thresholds(self) -> PromotionConfig:
        """The thresholds that were given.

        Raises:
            ConfigError: one of them is out of bounds.
        """
        return _parsed(
            {name: value for name, value in self if name in PromotionConfig.model_fields and value is not None}
        )


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
