"""The stricter of two sets of thresholds: in an unattended act a request may tighten, and never loosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.config.choices import Evidence

_EVIDENCE = tuple(Evidence(value) for value in ("fixed_horizon", "always_valid"))


def _stronger_evidence(asked: Evidence, own: Evidence) -> Evidence:
    return max(asked, own, key=_EVIDENCE.index)


def _both(asked: tuple[Any, ...], own: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*own, *(item for item in asked if item not in own))


_STRICTER: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "min_sample_size": max,
        "min_confidence_level": max,
        "min_improvement_percent": max,
        "min_runtime_hours": max,
        "max_error_rate": min,
        "max_staleness_hours": min,
        "require_manual_approval": max,
        "evidence": _stronger_evidence,
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
    return own.overridden_by(PromotionConfig(**used)) if used else own, tuple(overruled)


def _own(_asked: Any, own: Any) -> Any:
    return own
