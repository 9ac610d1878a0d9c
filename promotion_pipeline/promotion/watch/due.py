"""What is to be done about a look: pure rules over what was seen and what the watch keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from promotion_pipeline.config import Mode
from promotion_pipeline.promotion.watch.look import Look
from promotion_pipeline.promotion.watch.rules import WatchCheck, WatchStatus

TELL_BLIND_AFTER = timedelta(hours=1)
REFRESH_AFTER = timedelta(hours=1)


class Due(StrEnum):
    """What an act of the watch would change."""

    BREACH = "breach"
    """A breach that was not raised yet: tell people, and roll back where that is on."""
    ROLL_BACK = "roll_back"
    """A breach that was raised and could not be rolled back then."""
    REARM = "rearm"
    """What a person acknowledged is over: the next time is told again."""
    REFRESH = "refresh"
    """A breach is open, and what is kept of it is an hour old."""
    BLIND = "blind"
    """Nothing can be seen any more: note since when."""
    TELL_BLIND = "tell_blind"
    """Nothing could be seen for an hour: tell people."""
    SEES_AGAIN = "sees_again"
    """Something can be seen again."""
    DRIFT = "drift"
    """Somebody else changed the split: tell people."""
    DRIFT_OVER = "drift_over"
    """The split is the promotion's again."""


TELLS = frozenset({Due.BREACH, Due.TELL_BLIND, Due.DRIFT})


def due(look: Look, mode: Mode) -> frozenset[Due]:
    """Everything that is to be done about a look; empty: nothing would change."""
    found = {
        Due.BREACH: bool(unacknowledged(look)) and not is_open(look),
        Due.ROLL_BACK: is_open(look) and bool(unacknowledged(look)) and rolls_back(look, mode) is None,
        Due.REARM: bool(over_since(look)),
        Due.REFRESH: is_open(look) and look.is_watched and look.at - _looked_at(look) >= REFRESH_AFTER,
        Due.BLIND: look.blind is not None and _blind_since(look) is None,
        Due.TELL_BLIND: look.blind is not None
        and (look.before is None or look.before.blind_told_at is None)
        and look.at - blind_since(look) >= TELL_BLIND_AFTER,
        Due.SEES_AGAIN: look.blind is None and _blind_since(look) is not None,
        Due.DRIFT: look.drift is not None and (look.before is None or look.before.drift != look.drift),
        Due.DRIFT_OVER: look.drift is None and look.before is not None and look.before.drift is not None,
    }
    return frozenset(what for what, holds in found.items() if holds)


def is_open(look: Look) -> bool:
    """Whether a breach was raised that nobody dealt with."""
    return look.before is not None and look.before.breached_at is not None


def unacknowledged(look: Look) -> tuple[WatchCheck, ...]:
    """The breaches of metrics that nobody acknowledged."""
    muted = () if look.before is None else look.before.muted
    return tuple(check for check in look.breaches if check.metric.value not in muted)


def over_since(look: Look) -> tuple[str, ...]:
    """Acknowledged metrics that were measured and are worse in no window any more."""
    muted: Sequence[str] = () if look.before is None else look.before.muted
    breached = {check.metric.value for check in look.breaches}
    clean = {check.metric.value for check in look.checks if check.status is WatchStatus.CLEAN}
    return tuple(metric for metric in muted if metric in clean - breached)


def rolls_back(look: Look, mode: Mode) -> str | None:
    """Why a breach is not rolled back by itself; None: it is."""
    if not look.promotion.config.get("auto_rollback"):
        return "its auto_rollback is off"
    if mode is Mode.SHADOW:
        return "the mode is shadow"
    if look.drift is not None:
        return look.drift
    return None if look.has_control else f"control {look.promotion.control_variant_name!r} exists no more"


def blind_since(look: Look) -> datetime:
    """Since when nothing can be seen, as far as is known; for a look that is blind."""
    known = _blind_since(look)
    if known is not None:
        return known
    # No request in the last hour means blind for that hour. An unreadable log may have gone down just now.
    quiet = any(check.window == "recent" for check in look.checks)
    return max(look.at - TELL_BLIND_AFTER, look.promotion.step_started_at) if quiet else look.at


def _blind_since(look: Look) -> datetime | None:
    return None if look.before is None else look.before.blind_since


def _looked_at(look: Look) -> datetime:
    assert look.before is not None
    return look.before.looked_at
