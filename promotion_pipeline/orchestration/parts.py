"""Parts of Dagster that the environment chooses by name, such as the executor of steps and the launcher of runs.

A part is imported only when it is chosen, so that its package needs to be installed only where it is used.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.dagster_private import process_config, resolve_to_config_type

CONFIG_SUFFIX = "_CONFIG"
"""Of the variable that holds the chosen part's own configuration."""
EXAMPLE = '{"max_concurrent": 4}'


@dataclass(frozen=True)
class Part:
    """Where a part is imported from."""

    module: str
    attribute: str
    extra: str | None = None
    """Extra of promotion-pipeline that installs it; none: it comes with Dagster."""


def chosen_part(
    variable: str, parts: Mapping[str, Part], default: str, environment: Mapping[str, str] = os.environ
) -> Any:
    """The part that an environment variable names.

    Raises:
        ConfigError: the name is unknown, or its package is not installed.
    """
    name = environment.get(variable, "").strip() or default
    if name not in parts:
        raise ConfigError(f"{variable}={name!r} is unknown; known are {', '.join(parts)}")
    part = parts[name]
    try:
        return getattr(importlib.import_module(part.module), part.attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{variable}={name} needs the package {error.name}: pip install 'promotion-pipeline[{part.extra}]'"
        ) from None


def has_config(variable: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `variable`_CONFIG is set."""
    return bool(environment.get(variable + CONFIG_SUFFIX, "").strip())


def config_of_part(
    variable: str,
    kind: Any,
    base: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """The configuration that the chosen part is to have: `variable`_CONFIG, an object in JSON, on top of `base`.

    Args:
        kind: what the part says its configuration must look like.

    Raises:
        ConfigError: it is no object, or the part refuses it. The text itself is not quoted: it may hold a password.
    """
    given = {**(base or {}), **_object(variable + CONFIG_SUFFIX, environment)}
    checked = process_config(resolve_to_config_type(kind), given)
    if checked.errors:
        # The first sentence says what is wrong where; what follows lists everything that there is, and quotes values.
        said = "; ".join(error.message.split(". ")[0] for error in checked.errors)
        raise ConfigError(f"the configuration of {variable}={environment.get(variable, '').strip()} is refused: {said}")
    return dict(checked.value or {})


def _object(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(environment.get(name, "").strip() or "{}")
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name} is no JSON ({error}): write an object such as {EXAMPLE}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{name} must hold an object such as {EXAMPLE}, not {type(found).__name__}")
    return found
