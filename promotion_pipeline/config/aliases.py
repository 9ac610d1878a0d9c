"""One name a threshold: the field of `PromotionConfig`, written as each door writes names; and its other names.

HTTP writes `minConfidenceLevel`, the command line `--min-confidence-level`, the environment
`AUTO_PROMOTION_MIN_CONFIDENCE_LEVEL`, Python and `promotion_config` `min_confidence_level`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic.alias_generators import to_camel

from promotion_pipeline.config.checking import suggestion
from promotion_pipeline.config.values import shortened
from promotion_pipeline.errors import ConfigError

ENVIRONMENT_PREFIX = "AUTO_PROMOTION_"

ALIASES: Mapping[str, str] = {
    "require_manual": "require_manual_approval",
    "min_confidence": "min_confidence_level",
    "min_improvement": "min_improvement_percent",
}
"""Other name -> the threshold. The first specification names three environment variables so; every door takes them."""


def aliases_of(field: str) -> tuple[str, ...]:
    """The other names of a threshold."""
    return tuple(alias for alias, threshold in ALIASES.items() if threshold == field)


def variable_of(name: str) -> str:
    """A name, or another name, of a threshold as an environment variable."""
    return ENVIRONMENT_PREFIX + name.upper()


def known_names(fields: Mapping[str, Any]) -> dict[str, str]:
    """Every name that a threshold may have, in snake_case and camelCase -> the threshold."""
    return dict(_names_of(tuple(fields)))


@cache
def _names_of(fields: tuple[str, ...]) -> Mapping[str, str]:
    own = {name: name for name in fields} | {alias: field for alias, field in ALIASES.items() if field in fields}
    return own | {to_camel(name): field for name, field in own.items()}


def by_field(values: Mapping[str, Any], fields: Mapping[str, Any], source: str) -> Iterator[tuple[str, str, Any]]:
    """Each value with its threshold and the name that it was given by.

    Raises:
        ConfigError: a name is unknown (with a suggestion), or two names of one threshold have different values.
    """
    known, seen = known_names(fields), dict[str, str]()
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{source}: unknown threshold {shortened(name)}{suggestion(name, list(known))}")
        field = known[name]
        if field in seen and values[seen[field]] != value:
            first, second = shortened(seen[field]), shortened(name)
            raise ConfigError(f"{source}: {first} and {second} are one threshold with two values; give {field!r} alone")
        seen[field] = name
        yield field, name, value
