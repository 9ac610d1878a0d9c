"""Where in a deployment one pipeline lives: its prefix, its settings, who owns it, and what starts its hours.

Two of them live in one deployment: everything that Dagster wants to be unique carries the prefix of its place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

import dagster as dg

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.partitions import LOAD_KEY, first_hour, first_hour_of, hourly_from

VARIABLE_PREFIX = "AUTO_PROMOTION_"
MINUTE_VARIABLE = "AUTO_PROMOTION_SCHEDULE_MINUTE"
STORE = "store"
"""The resource that holds the product's database."""
INSTANCE_TAG = "promotion_pipeline/instance"
"""On every run of a place that has a prefix: which one it is of."""
_KNOWN = frozenset(
    value for name, value in vars(names).items() if name.isupper() and isinstance(value, str) and "_" in value
) - {names.OPEN_ALARMS}
_MENTIONED = re.compile(rf"(?<![\w/]){'(?:' + '|'.join(sorted(_KNOWN, key=len, reverse=True)) + ')'}(?![\w/])")


class Automation(StrEnum):
    """What starts the hourly run."""

    SCHEDULE = "schedule"
    """A minute past every hour."""
    UPSTREAM = "upstream"
    """The asset that fills the log: an hour is started when that asset's hour has landed."""


@dataclass(frozen=True)
class Placement:
    """One pipeline in a deployment.

    Args:
        key_prefix: of its assets; its jobs, sensors, schedules, pools, resources, ops and tags get it too.
        upstream: the asset that fills the log; none: our external `ai_requests`.
        automation: what starts an hour.
        minute: past the hour, of the schedule; none: what the settings say.
        owners: of its assets; empty: ours.
        given: its settings, AUTO_PROMOTION_* in lower case; none: those of the process's environment.

    Raises:
        ConfigError: a setting is unknown or out of bounds, the prefix cannot be one, or the automation lacks what it
            is to wait for.
    """

    key_prefix: tuple[str, ...] = ()
    upstream: dg.AssetKey | None = None
    automation: Automation = Automation.SCHEDULE
    minute: int | None = None
    owners: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what would fail later, or far from here."""
        for part in self.key_prefix:
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", part):
                raise ConfigError(
                    f"key_prefix has the part {part!r}: letters, digits, '_', '-' and '.' make one, such as experiments"
                )
        if self.minute is not None and not 0 <= self.minute <= 59:
            raise ConfigError(f"minute is {self.minute}: it is the minute past the hour, from 0 to 59")
        if self.automation is Automation.UPSTREAM and self.upstream is None:
            raise ConfigError(
                "automation is upstream, and no upstream is named: say which asset fills the log, such as"
                " analytics/fct_exposures, or leave automation at schedule"
            )
        _ = self.settings

    def __repr__(self) -> str:
        """Without the settings: they hold secrets."""
        return (
            f"Placement(key_prefix={self.key_prefix!r}, upstream={self.upstream!r}, automation={self.automation.value})"
        )

    @property
    def is_bare(self) -> bool:
        """Whether names are as they are without a prefix."""
        return not self.key_prefix

    @cached_property
    def prefix(self) -> str:
        """What stands before a name: `experiments_`; nothing without a prefix."""
        return "".join(re.sub(r"\W", "_", part) + "_" for part in self.key_prefix)

    @cached_property
    def settings(self) -> Settings | None:
        """Its own settings; None: those of the environment, read when they are needed."""
        if self.given is None:
            return None
        variables = {VARIABLE_PREFIX + name.upper(): value for name, value in self.given}
        return Settings.from_environment(variables)

    def passed_through(self, name: str) -> str | None:
        """A setting that other parts of the product read, such as `executor`; None: it is the environment's matter."""
        return None if self.given is None else dict(self.given).get(name, "")

    @property
    def schedule_minute(self) -> int:
        """The minute past the hour of its schedule.

        Raises:
            ConfigError: AUTO_PROMOTION_SCHEDULE_MINUTE is no minute.
        """
        if self.minute is not None:
            return self.minute
        if self.settings is not None:
            return self.settings.schedule_minute
        return Settings.from_environment({MINUTE_VARIABLE: os.environ.get(MINUTE_VARIABLE, "")}).schedule_minute

    @property
    def store_key(self) -> str:
        """Name of the resource that holds the product's database."""
        return self.named(STORE)

    def named(self, name: str) -> str:
        """A name of a job, op, sensor, schedule, pool, resource or group, here."""
        return self.prefix + name

    def key(self, name: str) -> dg.AssetKey:
        """The key of one of our assets, here; the log's is the upstream's, where one is named."""
        if name == names.REQUESTS and self.upstream is not None:
            return self.upstream
        return dg.AssetKey([*self.key_prefix, name])

    def key_of(self, key: dg.AssetKey) -> dg.AssetKey:
        """The key here of what is called `key` without a prefix; the log that a team calls otherwise stays as it is."""
        return self.key(key.path[0]) if len(key.path) == 1 and key.path[0] in ASSET_NAMES else key

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Run tags, here: lanes are this place's own, and runs say whose they are."""
        if self.is_bare:
            return dict(tags)
        own = {
            name: self.named(value) if name in {names.LANE_TAG, names.PENDING_TAG} else value
            for name, value in tags.items()
        }
        return own | {INSTANCE_TAG: self.prefix.removesuffix("_")}

    def told(self, text: str | None) -> str | None:
        """A description with the names as they are here."""
        if self.is_bare or text is None:
            return text
        text = text.replace(f"\n  {names.EVALUATION_OP}:\n", f"\n  {self.named(names.EVALUATION_OP)}:\n")
        return _MENTIONED.sub(lambda found: self._mention(found[0]), text)

    def _mention(self, name: str) -> str:
        return self.key(name).to_user_string() if name in ASSET_NAMES else self.named(name)

    def lineage(self, lineage: dg.TableColumnLineage) -> dg.TableColumnLineage:
        """Which column comes from which, with the keys of the tables as they are here."""
        if self == BARE:
            return lineage
        return dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(self.key_of(one.asset_key), one.column_name) for one in made_of]
                for column, made_of in lineage.deps_by_column.items()
            }
        )

    @property
    def hours(self) -> dg.HourlyPartitionsDefinition:
        """The partitions of its tables."""
        return hourly_from(self.first_hour)

    @cached_property
    def first_hour(self) -> datetime:
        """The first hour that has a partition; asked of its own database where the definitions are loaded.

        Raises:
            ConfigError: `partitions_start` is no date.
        """
        start, settings = self.passed_through("partitions_start"), self.settings
        if start is None or settings is None:
            return first_hour()
        return first_hour_of(start, lambda: settings, f"{LOAD_KEY}/{self.prefix}")


ASSET_NAMES = frozenset(
    {
        names.ROLLUPS,
        names.METRICS,
        names.SIGNIFICANCE,
        names.DECISIONS,
        names.PROMOTIONS,
        names.WATCH,
        names.SERVED,
        names.REALISED,
        names.REQUESTS,
        names.EXPERIMENTS,
    }
)
JOB_NAMES = frozenset(value for name, value in vars(names).items() if name.endswith("_JOB"))


def known_automation(name: str) -> Automation:
    """The automation that a name stands for.

    Raises:
        ConfigError: it is none.
    """
    if name not in set(Automation):
        raise ConfigError(f"automation is {name!r}: it is one of {', '.join(Automation)}")
    return Automation(name)


BARE = Placement()
"""Without a prefix, of the environment: the location that `workspace.yaml` names."""


def settings_of(given: Mapping[str, object] | None) -> tuple[tuple[str, str], ...] | None:
    """Settings as `Placement` takes them; lists with commas, true and false as words."""
    if given is None:
        return None
    return tuple(sorted((name.lower(), _text(value)) for name, value in given.items() if value is not None))


def _text(value: object) -> str:
    if isinstance(value, bool | Mapping):
        return json.dumps(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        parts = list(value)
        return json.dumps(parts) if any(isinstance(part, Mapping) for part in parts) else ",".join(map(str, parts))
    return str(value)
