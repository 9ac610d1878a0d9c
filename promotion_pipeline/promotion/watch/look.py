"""One look at what was promoted: asks the database and the log, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from promotion_pipeline.config import parse_config
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.record.watched import WatchState
from promotion_pipeline.promotion.watch.drift import DRIFTED, drift_now
from promotion_pipeline.promotion.watch.observing import Observation, observe
from promotion_pipeline.promotion.watch.rules import WINDOWS, Sums, WatchCheck, WatchStatus, judge_window, overall
from promotion_pipeline.promotion.watch.state import OPEN, WATCHED, live_where, standings
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR


@dataclass(frozen=True)
class Look:
    """What stands about one live promotion, and what was seen of it."""

    promotion: Promotion
    at: datetime
    is_watched: bool
    """It ramps, or is younger than its `watch_hours`; else only its split is looked at."""
    checks: tuple[WatchCheck, ...] = ()
    requests: int = 0
    """Of the winner, since the current step."""
    blind: str | None = None
    """Why nothing of the winner can be seen; None: it can."""
    drift: str | None = None
    """What somebody else changed since; None: nothing."""
    is_unreadable: bool = False
    """The log could not be read."""
    has_control: bool = True
    """Control still exists, so that traffic can go back to it."""

    @property
    def before(self) -> WatchState | None:
        """What the watch keeps of it from earlier looks."""
        return self.promotion.watch

    @property
    def status(self) -> WatchStatus:
        """Of all checks; unmeasured where there are none."""
        return overall(self.checks)

    @property
    def breaches(self) -> tuple[WatchCheck, ...]:
        """The checks that found a breach."""
        return tuple(check for check in self.checks if check.status is WatchStatus.BREACH)

    @property
    def message(self) -> str:
        """What was seen, in a sentence."""
        if self.breaches:
            return breach_message(self.breaches)
        if self.blind is not None:
            return self.blind
        return self.checks[0].message if self.checks else "not watched any more"


def look(store: Store) -> tuple[Look, ...]:
    """Look at every promotion that is watched, has drifted, or has something open.

    Costs one short query where there is none. What cannot be read of one promotion makes that one blind, no other.

    Raises:
        DependencyError: the product's database is down.
    """
    with store.connect() as connection, database_errors():
        found = live_where(connection, f"{WATCHED} OR {OPEN} OR {DRIFTED}")
        if not found:
            return ()
        stands = standings(connection, found)
        at = database_now(connection).astimezone(UTC)
        drifts = {p.id: drift_now(connection, p) for p in found if stands[p.id].has_drifted}
    seen = observe(store, [promotion for promotion in found if stands[promotion.id].is_watched], at)
    return tuple(
        _look(promotion, at, drifts.get(promotion.id), stands[promotion.id].has_control, seen.get(promotion.id))
        for promotion in sorted(found, key=lambda one: one.experiment_name)
    )


def _look(promotion: Promotion, at: datetime, drift: str | None, has_control: bool, seen: Observation | None) -> Look:
    if seen is None:
        return Look(promotion, at, is_watched=False, drift=drift, has_control=has_control)
    try:
        checks = judge_observation(promotion, seen)
        blind = blindness(promotion, seen, at)
    except (PromotionError, LookupError, TypeError, ValueError) as error:
        checks, blind = (), f"its record cannot be compared with: {' '.join(str(error).split())}"
    winner = seen.of("step", promotion.promoted_variant_id)
    return Look(
        promotion,
        at,
        is_watched=True,
        checks=checks,
        requests=int(winner.requests),
        blind=blind,
        drift=drift,
        is_unreadable=seen.unreadable is not None,
        has_control=has_control,
    )


def judge_observation(promotion: Promotion, seen: Observation) -> tuple[WatchCheck, ...]:
    """The winner against its snapshot, and against control while that gets traffic; nothing where it is blind."""
    if seen.unreadable is not None:
        return ()
    before, config = _before(promotion), parse_config(promotion.config, source="recorded config")
    winner, control = promotion.promoted_variant_id, promotion.control_variant_id
    return tuple(
        check
        for window in WINDOWS
        for check in judge_window(window, before, seen.of(window, winner), seen.of(window, control), config)
    )


def blindness(promotion: Promotion, seen: Observation, at: datetime) -> str | None:
    """Why nothing of the winner can be seen: the log cannot be read, or has none of its requests for an hour."""
    if seen.unreadable is not None:
        return f"the request log cannot be read: {seen.unreadable}"
    hours = seen.quiet_hours
    if at - promotion.step_started_at < hours * HOUR or seen.of("recent", promotion.promoted_variant_id).requests:
        return None
    winner, times = promotion.promoted_variant_name, "the last hour" if hours == 1 else f"the last {hours:g} hours"
    return (
        f"the log has no request of {winner!r} in {times}: after a promotion the application must go on logging its"
        " requests with the experiment and the winner's variant"
    )


def breach_message(breaches: Sequence[WatchCheck]) -> str:
    """One sentence a metric, of the window in which it is worst."""
    worst: dict[str, WatchCheck] = {}
    for check in breaches:
        known = worst.get(check.metric.value)
        if known is None or _excess(check) > _excess(known):
            worst[check.metric.value] = check
    return "; ".join(check.message for check in worst.values())


def _excess(check: WatchCheck) -> float:
    assert check.observed is not None
    assert check.limit is not None
    return abs(check.observed - check.limit)


def _before(promotion: Promotion) -> Sums:
    """The winner's sums in the snapshot."""
    rows: list[Mapping[str, Any]] = promotion.snapshot["variants"]
    row = next(row for row in rows if row["variant_id"] == str(promotion.promoted_variant_id))
    known = {name: float(row.get(name) or 0) for name in vars(Sums()) if name != "matured_requests"}
    return Sums(**known, matured_requests=known["requests"])
