"""Which threshold counts, weakest first: default < environment < the experiment's `promotion_config` < the request.

In an unattended act a request may tighten what the experiment's own say, and never loosen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from promotion_pipeline.config.choices import Evidence
from promotion_pipeline.config.thresholds import CONTRACT_THRESHOLDS, PromotionConfig, parse_config
from promotion_pipeline.config.values import shortened
from promotion_pipeline.errors import ConfigError


def _stronger_evidence(asked: Evidence, own: Evidence) -> Evidence:
    """Two that hold at every look are equally strong: of these the experiment's own stands."""
    return asked if own is Evidence.FIXED_HORIZON else own


def _both(asked: tuple[Any, ...], own: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*own, *(item for item in asked if item not in own))


def _own(_asked: Any, own: Any) -> Any:
    return own


_STRICTER: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {name: min if mark.is_most else max for name, mark in CONTRACT_THRESHOLDS.items()}
    | {
        "max_staleness_hours": min,
        "require_manual_approval": max,
        "evidence": _stronger_evidence,
        "whole_weeks": max,
        "min_conversions": max,
        "guardrails": _both,
    }
)
"""Thresholds of which one value is stricter than another. Every other one says what is measured, or how an act is done
(ramp, watch, rollback, expiry): no value is the stricter one, so the experiment's own stands."""


@dataclass(frozen=True)
class Overruled:
    """A threshold of a request that the experiment's own overruled."""

    threshold: str
    asked: Any
    used: Any

    @property
    def is_stricter(self) -> bool:
        """Whether one value of this threshold is stricter than another; False: the experiment's own stands anyway."""
        return self.threshold in _STRICTER


@dataclass(frozen=True)
class ThresholdsInForce:
    """The thresholds of one experiment."""

    own: PromotionConfig
    """The environment's with the experiment's on top."""
    used: PromotionConfig
    """With the request's on top, as far as they count."""
    overruled: tuple[Overruled, ...] = ()


def layered(*layers: PromotionConfig | None) -> PromotionConfig:
    """Layers of thresholds, weakest first: of each only what was given counts."""
    given: dict[str, Any] = {}
    for layer in layers:
        if layer is not None:
            given |= {name: getattr(layer, name) for name in layer.model_fields_set}
    return PromotionConfig(**given)


def own_thresholds(value: object, source: str = "promotion_config") -> PromotionConfig:
    """What an experiment's `promotion_config` holds; null is nothing.

    Raises:
        ConfigError: it is no object, a name is unknown or a value out of bounds.
    """
    if value is None:
        return PromotionConfig()
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}={shortened(value)} must be an object of thresholds, or null")
    return parse_config(value, source=source)


def thresholds_in_force(
    environment: PromotionConfig,
    promotion_config: object,
    request: PromotionConfig | None = None,
    *,
    is_unattended: bool = False,
    source: str = "promotion_config",
) -> ThresholdsInForce:
    """The thresholds that an experiment is judged and acted upon with.

    Args:
        promotion_config: the experiment's own, as it is stored.
        is_unattended: nobody answers for the request: of it and the experiment's own, the stricter value counts.

    Raises:
        ConfigError: the experiment's own cannot be used.
    """
    own = layered(environment, own_thresholds(promotion_config, source))
    if is_unattended:
        used, overruled = stricter_of(request, own)
        return ThresholdsInForce(own, used, overruled)
    return ThresholdsInForce(own, layered(own, request))


def stricter_of(request: PromotionConfig | None, own: PromotionConfig) -> tuple[PromotionConfig, tuple[Overruled, ...]]:
    """The thresholds to act on without a person, and where they are not what the request asked for.

    Args:
        request: the thresholds that the request brought; only those that it set count.
        own: the environment's with the experiment's own on top.
    """
    used: dict[str, Any] = {}
    overruled = []
    for name in sorted(request.model_fields_set) if request is not None else ():
        asked, mine = getattr(request, name), getattr(own, name)
        used[name] = _STRICTER.get(name, _own)(asked, mine)
        if used[name] != asked:
            overruled.append(Overruled(name, asked, used[name]))
    return layered(own, PromotionConfig(**used)) if used else own, tuple(overruled)
