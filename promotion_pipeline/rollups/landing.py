"""Which hours have landed: the requests of an hour come when the log is written, which may be after the schedule."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from promotion_pipeline.errors import PromotionError
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.engines.registry import engine_of
from promotion_pipeline.rollups.opening import log_name, open_log
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import instant_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landing:
    """The end of the newest hour to decide, and what the log was found to have."""

    end: datetime
    newest_request_at: datetime | None
    """None: not asked, or the log has no request at all."""
    log: str

    @property
    def sentence(self) -> str:
        """What is waited for, in words."""
        newest = "" if self.newest_request_at is None else f" (the newest is of {self.newest_request_at:%H:%M:%S} UTC)"
        return f"no request of the hour after {instant_text(self.end)} has landed in {self.log} yet{newest}"


def landed(store: Store, end: datetime, now: datetime) -> Landing:
    """Which hours before `end` are to be decided at `now`.

    An hour of which no request at all has landed is not decided yet, unless it ended `max_staleness_hours` ago. A log
    that has no request at all, or that cannot be asked, holds nothing back: the run says what is wrong.

    Raises:
        ConfigError: the configuration of the log is wrong.
    """
    name, config = log_name(store.settings), load_source(store.settings)
    if config is not None and engine_of(config).is_slow_to_open:
        return Landing(end, None, name)
    try:
        with open_log(store) as opened:
            newest = opened.newest_request()
    except PromotionError as error:
        log.warning("cannot ask %s for its newest request: %s", name, error)
        return Landing(end, None, name)
    if newest is None:
        return Landing(end, None, name)
    after_newest = _floor(newest) + timedelta(hours=1)
    too_old = _floor(now - timedelta(hours=store.settings.thresholds.max_staleness_hours))
    return Landing(min(end, max(after_newest, too_old)), newest, name)


def _floor(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
