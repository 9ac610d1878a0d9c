"""Which hours of the log have landed, by the events of the asset that fills it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property

import dagster as dg

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.windows import HOUR

EVENTS = 1000
"""Of the upstream asset, the newest ones, that are looked through."""
HOURLY = "0 * * * *"


def require_hourly(upstream: dg.AssetKey, known: dg.PartitionsDefinition[str] | None) -> None:
    """Refuse an asset of which no event says that an hour has landed.

    Raises:
        ConfigError: its partitions are not the hours.
    """
    if known is None or (isinstance(known, dg.TimeWindowPartitionsDefinition) and known.cron_schedule == HOURLY):
        return
    raise ConfigError(
        f"{upstream.to_user_string()} is partitioned by something else than full hours"
        f" ({type(known).__name__}): with automation: upstream an hour is decided when the asset's hour has landed."
        " Name an asset that is partitioned by the hour or not at all, or write automation: schedule with the minute"
        " at which the hour's requests are there."
    )


class UpstreamHours:
    """The hours that the upstream asset's events tell of, from one hour on.

    An event of a partition is that hour's; one without a partition is of everything before it. An event that is older
    than the end of its hour says nothing: the hour was not over.

    Args:
        known: the asset's partitions, where it is in the same code location; else its keys are read as they are.
        first: the first hour that anybody asks about.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        upstream: dg.AssetKey,
        known: dg.PartitionsDefinition[str] | None,
        first: datetime,
    ) -> None:
        self._instance, self._upstream, self._known, self._first = instance, upstream, known, first

    def landed_until(self, end: datetime, now: datetime, wait_hours: float) -> datetime:
        """The end of the last hour before `end` up to which every hour has landed, or has been waited for long enough.

        Args:
            wait_hours: after its end an hour is not waited for any longer than this.

        Raises:
            ConfigError: an event is of a partition that is no hour.
        """
        until, whole = self._first, self._hours[1]
        while until < end:
            over = until + HOUR
            has_landed = until in self._hours[0] or (whole is not None and over <= whole)
            if not has_landed and over > now - timedelta(hours=wait_hours):
                break
            until = over
        return until

    @cached_property
    def _hours(self) -> tuple[frozenset[datetime], datetime | None]:
        """The hours that have events of their own, and the time of the newest event that is of everything."""
        hours, whole = set(), None
        chosen = dg.AssetRecordsFilter(asset_key=self._upstream, after_timestamp=self._first.timestamp())
        for record in self._instance.fetch_materializations(chosen, limit=EVENTS).records:
            at = datetime.fromtimestamp(record.timestamp, UTC)
            if record.partition_key is None:
                whole = at if whole is None else max(at, whole)
                continue
            hour = self._hour_of(record.partition_key)
            if at >= hour + HOUR:
                hours.add(hour)
        return frozenset(hours), whole

    def _hour_of(self, key: str) -> datetime:
        if isinstance(self._known, dg.TimeWindowPartitionsDefinition):
            return self._known.time_window_for_partition_key(key).start.astimezone(UTC)
        for text in (key.replace("-", "T", 3).replace("T", "-", 2), key):
            # Dagster's own keys of hours, 2026-01-01-00:00, read like any other time with one letter changed.
            try:
                found = datetime.fromisoformat(text)
            except ValueError:
                continue
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            # A date alone reads as its midnight: it is of a day, not of an hour.
            if len(key) > len("2026-01-01") and not found.timestamp() % HOUR.total_seconds():
                return found
        raise ConfigError(
            f"{self._upstream.to_user_string()} has an event of the partition {key!r}, which is no hour: name an asset"
            " that is partitioned by the hour (keys such as 2026-01-01-00:00) or not at all, or write automation:"
            " schedule"
        )
