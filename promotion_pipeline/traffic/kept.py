"""A value of the database that is answered from memory: looked at every second, kept while the database is down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from promotion_pipeline.errors import PromotionError

LOOK_SECONDS = 1.0
STALE_SECONDS = 5.0
"""Without a look that succeeded, after which the value is said to be stale."""

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Looked(Generic[_Value]):
    """What was seen, and when."""

    value: _Value
    at: float
    """`time.monotonic()` of the start of the look."""
    wall_clock: float
    """The same as `time.time()`, for people."""

    @property
    def is_stale(self) -> bool:
        """Whether it may have changed since, for longer than looks usually take."""
        return time.monotonic() - self.at > STALE_SECONDS


class Kept(Generic[_Value]):
    """Begins to look when it is first asked for, and looks in a thread of its own from then on."""

    def __init__(self, read: Callable[[_Value | None], _Value], name: str) -> None:
        """
        Args:
            read: gives the value, from the one before it (which it may return where nothing changed).
            name: of the thread, and in the log.
        """
        self._read = read
        self._name = name
        self._looked: Looked[_Value] | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def seen(self) -> Looked[_Value] | None:
        """The value without a look; None: there was none yet."""
        return self._looked

    def look(self) -> Looked[_Value]:
        """The value; the first time it is read now, and whoever asks meanwhile waits.

        Raises:
            PromotionError, psycopg.Error: it was never read, and cannot be.
        """
        if self._looked is None:
            with self._starting:
                if self._looked is None:
                    self._look()
                    self._begin()
        assert self._looked is not None
        return self._looked

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            # Not for long: a look may wait for a database that is down, and the thread ends with the process.
            thread.join(LOOK_SECONDS)

    def _look(self) -> None:
        at, wall_clock = time.monotonic(), time.time()
        before = None if self._looked is None else self._looked.value
        self._looked = Looked(self._read(before), at, wall_clock)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name=self._name, daemon=True)
            self._thread.start()

    def _go_on(self) -> None:
        is_told = False
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._look()
                is_told = False
            except (PromotionError, psycopg.Error) as error:
                if not is_told:
                    logger.error("%s: what was read last is kept: %s", self._name, " ".join(str(error).split()))
                is_told = True
            except Exception:
                # A thread that ended would leave everybody with this value for good, and say nothing.
                if not is_told:
                    logger.exception("%s: what was read last is kept", self._name)
                is_told = True
