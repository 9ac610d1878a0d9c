"""The partitions of every partitioned asset: the hours, in UTC, all experiments in one.

Never a partition per experiment: it would cost a run per experiment and hour. They begin where the first experiment
does, so that an hour which is shown as missing could have been decided.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg
import psycopg

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions import beginning
from promotion_pipeline.errors import ConfigError, InputError, PromotionError
from promotion_pipeline.orchestration.dagster_private import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from promotion_pipeline.store.database import glance
from promotion_pipeline.store.windows import HOUR

log = logging.getLogger(__name__)

START_VARIABLE = "AUTO_PROMOTION_PARTITIONS_START"
EARLIEST = datetime(2024, 1, 1, tzinfo=UTC)
"""Where the partitions begin if nothing says where: early enough to leave out no hour that has one otherwise."""
KEY_FORMAT = "%Y-%m-%d-%H:%M"
LOAD_KEY = "promotion_pipeline/first_hour"
"""Under which the code server hands what it read to the runs of its location."""
SECONDS = 2
"""That the database may take to answer; twice that in all, whatever a name server or a network does."""
BEFORE_THE_FIRST = timedelta(hours=23)
"""How far back the partitions of a database without experiments reach: less than a day is missing there."""


@cache
def first_hour() -> datetime:
    """The first hour that has a partition where the environment says it all; once a process. As `first_hour_of`.

    Raises:
        ConfigError: AUTO_PROMOTION_PARTITIONS_START is no date.
    """
    return first_hour_of(os.environ.get(START_VARIABLE, ""), Settings.from_environment)


def first_hour_of(given: str, settings: Callable[[], Settings], load_key: str = LOAD_KEY) -> datetime:
    """The first hour that has a partition.

    1. Midnight UTC of the date that is given, where one is.
    2. Where Dagster loads the code location: the hour in which the first experiment began or of which the first sums
       are, read from the database. An earlier experiment that is adopted later moves it back at the next load; that an
       experiment is deleted does not move it on, since its sums say that it was.
    3. In a run of that location: what the location had read. So a run knows every hour that it can be started for.
    4. Else, also where the database does not answer: `EARLIEST`. That leaves out no hour, and shows more as missing.

    Args:
        given: a date, or blank.
        settings: says which database, if it is asked.
        load_key: under which the location hands on what it read; another one for each pipeline in a location.

    Raises:
        ConfigError: what is given is no date.
    """
    if given.strip():
        return hour_of_date(given.strip())
    if not DefinitionsLoadContext.is_set():
        return EARLIEST
    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.RECONSTRUCTION:
        known = context.reconstruction_metadata.get(load_key)
        return EARLIEST if known is None else datetime.fromisoformat(known)
    found = _read_in_time(settings)
    context.add_to_pending_reconstruction_metadata(load_key, found.isoformat())
    return found


def hour_of_date(given: str) -> datetime:
    """Midnight UTC of a date.

    Raises:
        ConfigError: it is no date.
    """
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"{START_VARIABLE}={given!r} is no date: write it as {EARLIEST:%Y-%m-%d}") from None


def _read_in_time(settings: Callable[[], Settings]) -> datetime:
    """What the database says, or `EARLIEST` where it does not; a network that swallows everything delays no load."""
    found: list[datetime] = []
    why = [f"it did not answer within {2 * SECONDS} seconds"]

    def read() -> None:
        try:
            found.append(_read(settings()))
        except (PromotionError, psycopg.Error) as error:
            why.append(" ".join(str(error).split()))

    asking = threading.Thread(target=read, name="first-hour", daemon=True)
    asking.start()
    asking.join(2 * SECONDS)
    if found:
        return found[0]
    log.warning(
        "The first experiment is not known, so that the partitions begin at %s until the code location is loaded again:"
        " the database was asked, and %s",
        f"{EARLIEST:%Y-%m-%d}",
        why[-1],
    )
    return EARLIEST


def _read(settings: Settings) -> datetime:
    with glance(settings, SECONDS) as connection:
        first = beginning.first_hour(connection, EARLIEST)
    if first is not None:
        return first
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - BEFORE_THE_FIRST


@cache
def hourly_from(first: datetime) -> dg.HourlyPartitionsDefinition:
    """The hours from `first` on: what all partitioned assets of a place and their checks share."""
    return dg.HourlyPartitionsDefinition(start_date=first, timezone="UTC", fmt=KEY_FORMAT)


def hourly() -> dg.HourlyPartitionsDefinition:
    """Those of the environment's place."""
    return hourly_from(first_hour())


HOURS = hourly_from(EARLIEST)
"""Of a definition as its module has it: where its hours begin is known when the definitions of a place are made."""


def hour_key(hour: datetime) -> str:
    """The partition of an hour.

    Raises:
        InputError: `hour` is naive or not the start of an hour.
    """
    if hour.tzinfo is None or hour.timestamp() % HOUR.total_seconds():
        raise InputError(f"{hour.isoformat()} is not the start of an hour with a time zone, such as 2026-01-01T00:00Z")
    return hour.astimezone(UTC).strftime(KEY_FORMAT)


def hour_of_key(key: str) -> datetime:
    """The inverse of `hour_key`."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def range_tags(start: datetime, end: datetime, first: datetime | None = None) -> dict[str, str]:
    """Run tags that make one run of the hours in [start, end).

    A single hour is named as a partition: only then are the checks of the run of that partition.

    Args:
        first: the first hour that has a partition; default that of the environment.

    Raises:
        InputError: the window is empty, naive, not of whole hours, or begins before the first partition.
    """
    if start >= end:
        raise InputError(f"the window from {start.isoformat()} to {end.isoformat()} is empty: start must be before end")
    known = first_hour() if first is None else first
    if start < known:
        raise InputError(
            f"{start.isoformat()} is before the first partition, {known.isoformat()}: where an experiment began"
            f" earlier, load the code location again; {START_VARIABLE} sets another date"
        )
    since, until = hour_key(start), hour_key(end - HOUR)
    if since == until:
        return {PARTITION_NAME_TAG: since}
    return {ASSET_PARTITION_RANGE_START_TAG: since, ASSET_PARTITION_RANGE_END_TAG: until}


def hours_of_run(tags: Mapping[str, str]) -> tuple[datetime, datetime] | None:
    """The hours [start, end) that a run with these tags is of; None: it is of none."""
    first = tags.get(PARTITION_NAME_TAG) or tags.get(ASSET_PARTITION_RANGE_START_TAG)
    last = tags.get(PARTITION_NAME_TAG) or tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return None if not first or not last else (hour_of_key(first), hour_of_key(last) + HOUR)
