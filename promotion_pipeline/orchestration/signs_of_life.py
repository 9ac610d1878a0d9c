"""Which runs are at work, and where: what a run says of itself every few seconds while a step of it is executed."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from promotion_pipeline.store.database import Store

LEFT_BEHIND_DAYS = 1
"""Rows of runs that died are removed after this long."""


@dataclass(frozen=True)
class Worker:
    """The process that executes a step."""

    host: str
    machine: str
    """Names this boot of this machine and the process numbers that are valid here; empty: not known (macOS)."""
    process_id: int
    process_started: str
    """Tells the process from a later one with the same number."""

    @property
    def is_alive(self) -> bool | None:
        """Whether the process exists; None: it is on a machine that this one cannot look into."""
        if not self.machine or self.machine != _machine() or _is_hidden(self.process_id):
            return None
        return _started(self.process_id) == self.process_started


@dataclass(frozen=True)
class Sign:
    """The last sign of life of a run."""

    worker: Worker
    age_seconds: float
    """By the database's clock."""


def this_worker() -> Worker:
    """This process."""
    return Worker(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()) or "")


def note_sign(store: Store, run_id: str, worker: Worker) -> None:
    """Say that a run is at work.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO run_signs_of_life (run_id, host, machine, process_id, process_started)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (run_id) DO UPDATE SET host = excluded.host,"
            " machine = excluded.machine, process_id = excluded.process_id,"
            " process_started = excluded.process_started, seen_at = clock_timestamp()",
            [run_id, worker.host, worker.machine, worker.process_id, worker.process_started],
        )


def forget_sign(store: Store, run_id: str, worker: Worker) -> None:
    """A step is over; another process may be at work on another one. Also removes what dead runs left behind.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        connection.execute(
            "DELETE FROM run_signs_of_life WHERE (run_id = %s AND machine = %s AND process_id = %s)"
            " OR seen_at < clock_timestamp() - %s * interval '1 day'",
            [run_id, worker.machine, worker.process_id, LEFT_BEHIND_DAYS],
        )


def last_sign(store: Store, run_id: str) -> Sign | None:
    """The last sign of life of a run; None: no step of it is at work, as far as is known.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        row = connection.execute(
            "SELECT host, machine, process_id, process_started,"
            " extract(epoch FROM clock_timestamp() - seen_at)::float8 AS age_seconds"
            " FROM run_signs_of_life WHERE run_id = %s",
            [run_id],
        ).fetchone()
    if row is None:
        return None
    age_seconds = row.pop("age_seconds")
    return Sign(Worker(**row), age_seconds)


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Containers of one machine count their processes each for itself.
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:32]


def _is_hidden(process_id: int) -> bool:
    """Whether it is somebody else's process, which a hardened system does not show."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return not Path(f"/proc/{process_id}/stat").exists()
    return False


def _started(process_id: int) -> str | None:
    """When a process began, in the kernel's ticks; None: there is no such process, or it is dead and not buried."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything; the state and 19 numbers later the start follow it.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]
