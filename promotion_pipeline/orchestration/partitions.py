"""The partitions of every partitioned asset: the hours, in UTC, all experiments in one.

Never a partition per experiment: it would cost a run per experiment and hour.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import dagster as dg

from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.orchestration.dagster_private import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from promotion_pipeline.store.windows import HOUR

START_VARIABLE = "AUTO_PROMOTION_PARTITIONS_START"
DEFAULT_START = "2024-01-01"
KEY_FORMAT = "%Y-%m-%d-%H:%M"


def first_hour() -> datetime:
    """The first hour that has a partition: midnight UTC of the date in AUTO_PROMOTION_PARTITIONS_START.

    Raises:
        ConfigError: the variable is no date.
    """
    return hour_of_date(os.environ.get(START_VARIABLE, "").strip() or DEFAULT_START)


def hour_of_date(given: str) -> datetime:
    """Midnight UTC of a date.

    Raises:
        ConfigError: it is no date.
    """
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"{START_VARIABLE}={given!r} is no date: write it as {DEFAULT_START}") from None


def hourly_from(first: datetime) -> dg.HourlyPartitionsDefinition:
    """The hours from `first` on."""
    return dg.HourlyPartitionsDefinition(start_date=first, timezone="UTC", fmt=KEY_FORMAT)


hourly = hourly_from(first_hour())


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

    Args:
        first: the first hour that has a partition; default that of the environment.

    Raises:
        InputError: the window is empty, naive, not of whole hours, or begins before the first partition.
    """
    if start >= end:
        raise InputError(f"the window from {start.isoformat()} to {end.isoformat()} is empty: start must be before end")
    first = first_hour() if first is None else first
    if start < first:
        raise InputError(
            f"{start.isoformat()} is before the first partition, {first.isoformat()}: set {START_VARIABLE}"
        )
    return {
        ASSET_PARTITION_RANGE_START_TAG: hour_key(start),
        ASSET_PARTITION_RANGE_END_TAG: hour_key(end - HOUR),
    }
