"""The settings as far as they can be read: one wrong variable must not hide what else is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from promotion_pipeline.config import ENVIRONMENT_PREFIX, Settings, known_variables
from promotion_pipeline.errors import ConfigError

NEEDED_BY_OTHERS = (ENVIRONMENT_PREFIX + "EMAIL_TO",)
"""Variables that others are checked against."""


@dataclass(frozen=True)
class ReadSettings:
    """What the environment says."""

    settings: Settings
    """Without the variables that are wrong."""
    given: Mapping[str, str]
    """Every AUTO_PROMOTION_* that is set."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Variable that no setting has the name of -> what the settings say about it."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """Variable with a value that cannot be used -> what the settings say about it."""


def read_environment(environment: Mapping[str, str]) -> ReadSettings:
    """Read AUTO_PROMOTION_*, variable by variable where together they are refused."""
    given = {k: v for k, v in environment.items() if k.startswith(ENVIRONMENT_PREFIX) and v.strip()}
    known = set(known_variables())
    kept: dict[str, str] = {}
    unknown: dict[str, str] = {}
    invalid: dict[str, str] = {}
    for name in sorted(given, key=lambda name: (name not in NEEDED_BY_OTHERS, name)):
        try:
            Settings.from_environment({**kept, name: given[name]})
        except ConfigError as error:
            (invalid if name in known else unknown)[name] = str(error).removeprefix("environment: ")
        else:
            kept[name] = given[name]
    return ReadSettings(Settings.from_environment(kept), given, unknown, invalid)
