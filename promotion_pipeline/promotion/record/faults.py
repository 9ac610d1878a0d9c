"""Named points at which a fault campaign kills its own process; no setting reaches them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum


class FaultPoint(StrEnum):
    """Where in an act a campaign may let its process die."""

    LOCKED = "locked"
    """The experiment is locked, nothing is written."""
    RECORD_WRITTEN = "record_written"
    """The promotion's record is written, the traffic is not set."""
    TRAFFIC_SET = "traffic_set"
    """The traffic is set, audit and outbox are not written."""
    BEFORE_COMMIT = "before_commit"
    """Everything is written, nothing is committed."""
    AFTER_COMMIT = "after_commit"
    """Committed, the caller does not know."""
    ATTEMPT_BEGUN = "attempt_begun"
    """The attempt at a pending act is noted, the act has not begun."""
    ATTEMPT_UNFINISHED = "attempt_unfinished"
    """The act is committed, the attempt is not noted as finished."""


def _nothing(_point: FaultPoint) -> None:
    """What happens at a point in production."""


_at: Callable[[FaultPoint], None] = _nothing


def die_at(wanted: FaultPoint | str) -> None:
    """From now on this process dies, like kill -9, when it reaches the point: for tests, which alone call this."""
    global _at
    fatal = FaultPoint(wanted)

    def die(point: FaultPoint) -> None:
        if point is fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    _at = die


def reached(point: FaultPoint) -> None:
    """An act has come to this point."""
    _at(point)
