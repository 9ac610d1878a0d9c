"""`ab_experiments.traffic_target`, read: which target serves an experiment, and where in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from promotion_pipeline.errors import ConfigError


class TargetKind(StrEnum):
    """What serves a split."""

    TABLE = "table"
    """The application reads `ab_variants`: the act's transaction is the delivery."""
    UNLEASH = "unleash"
    """The variants of a strategy in Unleash."""
    FLAGD = "flagd"
    """A flag of the definition that `serve` publishes for flagd."""
    OFREP = "ofrep"
    """A flag that `serve` evaluates by the OpenFeature Remote Evaluation Protocol."""
    WEBHOOK = "webhook"
    """A system of the team's own that is told the split and says what it serves."""


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL that begins with http:// or https:// and names a host")
    return url


Name = Annotated[str, Field(min_length=1, max_length=500)]
WebAddress = Annotated[Name, AfterValidator(_web_address)]


class _Configured(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TableTarget(_Configured):
    """The split in our own table."""

    kind: Literal["table"] = "table"


class UnleashTarget(_Configured):
    """The weights of one strategy's variants, in one environment."""

    kind: Literal["unleash"]
    project: Name
    feature: Name
    environment: Name
    strategy_id: Name | None = None
    """Needed where the environment has several strategies."""
    variants: dict[str, Name] = Field(default_factory=dict)
    """Our variant's name -> theirs, where they differ."""


class FlagdTarget(_Configured):
    """One flag of the flagd definition."""

    kind: Literal["flagd"]
    flag: Name


class OfrepTarget(_Configured):
    """One flag of the remote evaluation."""

    kind: Literal["ofrep"]
    flag: Name


class WebhookTarget(_Configured):
    """Two addresses of a system of the team's own."""

    kind: Literal["webhook"]
    url: WebAddress
    """Is posted the split."""
    read_url: WebAddress | None = None
    """Says what is served; none: what was answered to the last post counts."""


TrafficTarget: TypeAlias = TableTarget | UnleashTarget | FlagdTarget | OfrepTarget | WebhookTarget
_ADAPTER: TypeAdapter[TrafficTarget] = TypeAdapter(Annotated[TrafficTarget, Field(discriminator="kind")])


def target_of(stored: object, experiment_name: str) -> TrafficTarget:
    """The target of an experiment, from its `traffic_target`; null is the table.

    Raises:
        ConfigError: it names no kind of target, lacks what the kind needs, or has what it does not know.
    """
    if stored is None:
        return TableTarget()
    where = f"traffic_target of {experiment_name!r}"
    if not isinstance(stored, Mapping):
        raise ConfigError(f'{where} is {json.dumps(stored)}: expected null or an object such as {{"kind": "table"}}')
    kind = stored.get("kind")
    if kind not in list(TargetKind):
        raise ConfigError(f"{where}: kind is {kind!r}, it must be one of {', '.join(TargetKind)}")
    try:
        return _ADAPTER.validate_python(dict(stored))
    except ValidationError as error:
        raise ConfigError(f"{where} ({kind}): {'; '.join(map(_said, error.errors()))}") from None


def kind_of(target: TrafficTarget) -> TargetKind:
    """Which kind of target this is."""
    return TargetKind(target.kind)


def _said(problem: Mapping[str, Any]) -> str:
    """One problem in words; the value is left out, for a URL may hold a secret."""
    name = ".".join(str(part) for part in problem["loc"][1:]) or "the object"
    match problem["type"]:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden":
            return f"{name} is not known"
    return f"{name}: {str(problem['msg']).removeprefix('Value error, ')}"
