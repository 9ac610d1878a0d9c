"""How patient the delivery is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from promotion_pipeline.notifications.channels.port import ANSWER_SECONDS


@dataclass(frozen=True)
class DeliveryPolicy:
    """Waits and limits; every time in seconds."""

    answer_seconds: float = ANSWER_SECONDS
    """Time-out of a channel."""
    max_attempts: int = 20
    """Attempts after which a message is dead; with the waits below about 14 hours."""
    first_wait_seconds: float = 5.0
    """Wait after a message's first failure; it doubles from there."""
    longest_wait_seconds: float = 3600.0
    """Longest wait between two attempts at a message."""
    failures_before_pause: int = 3
    """Failures of a channel in a row after which the channel rests; a hang rests it at once."""
    longest_pause_seconds: float = 300.0
    """Longest rest of a channel."""
    claim_seconds: float = 120.0
    """Time that a worker has for one message; must exceed the channels' time-outs."""
    look_after_seconds: float = 60.0
    """Wait before a channel is asked whether a message of unknown fate arrived."""
    budget_seconds: float = 240.0
    """Time after which a pass takes no further message."""
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1)."""

    def wait_seconds(self, failures: int) -> float:
        """Wait after so many failures of a message: exponential, and spread over half of it."""
        return self._spread(self.first_wait_seconds, failures, self.longest_wait_seconds)

    def pause_seconds(self, failures: int) -> float:
        """Rest of a channel after so many failures in a row."""
        return self._spread(self.first_wait_seconds, failures, self.longest_pause_seconds)

    def _spread(self, first: float, failures: int, longest: float) -> float:
        wait = min(first * 2.0 ** min(max(failures - 1, 0), 40), longest)
        return wait * (0.5 + 0.5 * self.jitter())
