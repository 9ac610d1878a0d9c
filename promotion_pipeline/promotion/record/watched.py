"""What the watch keeps of a promotion, and the alarms that every door shows first."""

from __future__ import annotations

import shlex
from datetime import datetime
from enum import StrEnum
from typing import Any

from promotion_pipeline.promotion.record.result import Measured, Result
from promotion_pipeline.text.numbers import instant_text


class AlarmKind(StrEnum):
    """What can be wrong with a live promotion, the worst first."""

    BREACH = "breach"
    """The winner is worse than it was when it was promoted."""
    DRIFT = "drift"
    """Somebody else changed the split since, or started the experiment again."""
    BLIND = "blind"
    """Nothing of the winner can be seen: its requests are not logged, or the log cannot be read."""


class Alarm(Result):
    """One thing that is wrong with a live promotion, and what to type."""

    experiment_name: str
    kind: AlarmKind
    since: datetime
    message: str
    commands: tuple[str, ...]
    """The first is the one that ends it; each has a `'...'` where a reason belongs."""

    @property
    def sentence(self) -> str:
        """The message with its time."""
        return f"{ALARM_TITLES[self.kind]} since {instant_text(self.since)}: {self.message}"


ALARM_TITLES = {
    AlarmKind.BREACH: "worse than when it was promoted",
    AlarmKind.DRIFT: "not the split that the promotion set",
    AlarmKind.BLIND: "not seen by the watch",
}


class HourSeen(Result):
    """The winner in one hour; rates are fractions."""

    hour: datetime
    requests: int
    error_rate: Measured = None
    mean_latency_ms: Measured = None
    conversion_rate: Measured = None


class WatchState(Result):
    """The last look of the watch that was kept, and what is open."""

    looked_at: datetime
    status: str
    """`clean`, `breach` or `unmeasured`."""
    message: str
    requests: int
    """Of the winner, since the current step."""
    hours: tuple[HourSeen, ...] = ()
    """The winner hour by hour, while a breach is open."""
    breached_at: datetime | None = None
    breach: dict[str, Any] | None = None
    """What the watch saw: `metrics`, `message`, `checks`, and `rollback`, which says what comes by itself."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_because: str | None = None
    muted: tuple[str, ...] = ()
    """Metrics whose breach a person acknowledged: no alarm until they are clean again."""
    blind_since: datetime | None = None
    blind_because: str | None = None
    blind_told_at: datetime | None = None
    drifted_at: datetime | None = None
    drift: str | None = None


def command(verb: str, experiment_name: str, rest: str = "") -> str:
    """What to type about an experiment."""
    return f"promotion-pipeline {verb} {shlex.quote(experiment_name)}{' ' + rest if rest else ''} --reason '...'"
