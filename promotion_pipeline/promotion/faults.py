"""Named points at which a fault campaign kills the process; without the setting they do nothing."""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class FaultPoint(StrEnum):
    """Where in an act the process dies when AUTO_PROMOTION_FAULT_POINT names it."""

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


def reached(point: FaultPoint) -> None:
    """Die here, like kill -9, if the environment says so."""
    if os.environ.get("AUTO_PROMOTION_FAULT_POINT") == point.value:
        os.kill(os.getpid(), signal.SIGKILL)
