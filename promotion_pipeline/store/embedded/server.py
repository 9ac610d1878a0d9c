"""A PostgreSQL server of one's own, from the binaries of a wheel.

The processes that use the same home share one server. Each holds a lease, which ends with the process however
that ends; when the last lease is gone the server is stopped, and nothing is left running.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.embedded.cluster import Plan
from promotion_pipeline.store.embedded.placement import plan_server, running_socket_folder, server_folder
from promotion_pipeline.store.embedded.supervisor import CONTROL_SOCKET

START_SECONDS = 600.0
"""Recovery after a power failure replays up to max_wal_size of log."""
STOP_SECONDS = 150.0
PACKAGE_ROOT = Path(__file__).parents[3]
SUPERVISE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from promotion_pipeline.store.embedded.supervisor import main; main()"
)
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
"""What the server sees of the environment: no secret, and no PG* variable that would change how it starts."""

_spawned: list[tuple[str, subprocess.Popen[bytes]]] = []
"""Supervisors that this process started, by the server's folder: as their parent it must reap them."""


class EmbeddedServer:
    """A lease on the server of `home`.

    Args:
        home: folder of the product's data; the server's files go to `home`/postgres.
        server_settings: lines of postgresql.conf that differ from the defaults, used by the process that starts it.
        start_seconds: how long to wait for a server that is starting or recovering.
    """

    def __init__(
        self, home: Path, *, server_settings: Mapping[str, str] | None = None, start_seconds: float = START_SECONDS
    ) -> None:
        self.home = home.expanduser().resolve()
        self._server_settings = dict(server_settings or {})
        self._start_seconds = start_seconds
        self._socket_folder: str | None = None
        self._lease: socket.socket | None = None
        self._lease_pid = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Take a lease, starting the server if no process uses it; returns when it accepts connections.

        Does nothing but wait for the server where the lease is held already; takes it anew where the supervisor
        was killed or the process was forked.

        Raises:
            DependencyError: it cannot start; the message says why and what to do.
        """
        if sys.platform == "win32":
            raise DependencyError("the embedded server needs Linux or macOS; set AUTO_PROMOTION_DATABASE_URL")
        with self._lock:
            deadline = time.monotonic() + self._start_seconds
            while not self._ready(deadline):
                self._forget()
                if time.monotonic() > deadline:
                    raise DependencyError(
                        f"the embedded server of {self.home} was not ready within {self._start_seconds:g} s;"
                        f" see {self.home / 'postgres' / 'server.log'}"
                    )
                self._connect_or_spawn(deadline)

    def close(self) -> None:
        """Give the lease back; the last one to do so returns when the server and its supervisor have ended."""
        with self._lock:
            if self._lease is None or self._lease_pid != os.getpid():
                return
            with contextlib.suppress(OSError):
                self._lease.settimeout(STOP_SECONDS)
                self._lease.sendall(b"bye\n")
                others = b"others" in _read_to_end(self._lease)
                if not others:
                    _reap(server_folder(self.home))
            self._forget()

    def url(self, database: str) -> str:
        """The libpq URL of a database on this server.

        Raises:
            DependencyError: the server was never started.
        """
        if self._socket_folder is None:
            raise DependencyError(f"the embedded server of {self.home} is not started")
        return _url(database, self._socket_folder)

    def _forget(self) -> None:
        if self._lease is not None:
            self._lease.close()
        self._lease = None

    def _ready(self, deadline: float) -> bool:
        """Ask the supervisor; False if there is no lease or the supervisor has ended."""
        lease = self._lease
        if lease is None or self._lease_pid != os.getpid():
            return False
        try:
            lease.settimeout(max(0.01, deadline - time.monotonic()))
            lease.sendall(b"ready?\n")
            line = _read_line(lease)
        except OSError:
            return False
        if line.startswith("error "):
            self._forget()
            raise DependencyError(
                f"the embedded server of {self.home} does not start: {json.loads(line.removeprefix('error '))}"
            )
        return line == "ready"

    def _connect_or_spawn(self, deadline: float) -> None:
        gate = os.open(server_folder(self.home) / "start.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            while not _locked(gate):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)
            plan = plan_server(self.home, self._server_settings)
            self._socket_folder = plan.socket_folder
            if not self._connect():
                _spawn(plan)
                self._connect()
        finally:
            os.close(gate)

    def _connect(self) -> bool:
        lease = socket.socket(socket.AF_UNIX)
        try:
            lease.connect(f"{self._socket_folder}/{CONTROL_SOCKET}")
        except OSError:
            lease.close()
            return False
        self._lease, self._lease_pid = lease, os.getpid()
        return True


def running_url(home: Path, database: str) -> str | None:
    """The libpq URL of a database on the server of `home`, if that runs; it takes no lease and starts nothing."""
    folder = running_socket_folder(home)
    return None if folder is None else _url(database, str(folder))


def _url(database: str, socket_folder: str) -> str:
    return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(socket_folder, safe='')}"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn(plan: Plan) -> None:
    """Start a supervisor, detached from this process and its terminal; returns when it listens."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"LC_ALL": "C"}
    with plan.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SUPERVISE, str(PACKAGE_ROOT), json.dumps(vars(plan))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=environment,
        )
    _spawned.append((plan.folder, process))
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()


def _reap(folder: Path) -> None:
    for entry in [entry for entry in _spawned if entry[0] == str(folder)]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            entry[1].wait(STOP_SECONDS)
            _spawned.remove(entry)


def _read_line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            return ""
        line += part
    return line.decode().strip()


def _read_to_end(connection: socket.socket) -> bytes:
    said = b""
    while part := connection.recv(4096):
        said += part
    return said
