"""The embedded server's data folder and process: made, started, looked at, stopped.

Standard library only: the supervisor imports it without the packages of the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PORT = 5432
"""Only names the socket file: the server does not listen on TCP."""
FAST_STOP_SECONDS = 120.0
IMMEDIATE_STOP_SECONDS = 10.0
LOG_BYTES_KEPT = 10_000_000


@dataclass(frozen=True)
class Plan:
    """What to run, as whom and where; decided by the process that spawns the supervisor."""

    folder: str
    """Holds the data, the locks and the log; only its owner may enter."""
    binaries: str
    socket_folder: str
    client_names: list[str]
    """Names of the system's users that may connect."""
    uid: int | None = None
    """The user that the server runs as; none: the one that runs the supervisor."""
    gid: int | None = None
    through_descriptor: bool = False
    """The server's user cannot walk to the data folder: hand it over as an open descriptor."""
    settings: dict[str, str] = field(default_factory=dict)
    """Lines of postgresql.conf."""

    @property
    def data(self) -> Path:
        return Path(self.folder) / "data"

    @property
    def log(self) -> Path:
        return Path(self.folder) / "server.log"


class Cluster:
    """The data folder and the server process on it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self._log_size = 0

    def initialise(self) -> None:
        """Make the data folder, whole or not at all; raises OSError or CalledProcessError."""
        if not (self.plan.data / "PG_VERSION").exists():
            fresh = self.plan.data.with_name("data.new")
            shutil.rmtree(fresh, ignore_errors=True)
            self._make_folder(fresh)
            with self._open(fresh) as (path, descriptors):
                self._run_initdb(path, descriptors)
            fresh.rename(self.plan.data)
        self._configure()

    def _make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        if self.plan.uid is not None:
            os.chown(path, self.plan.uid, self.plan.gid or -1)

    def _run_initdb(self, path: str, descriptors: list[int]) -> None:
        # Nothing is lost if the machine fails before these files reach the disk: there are no data yet.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["--username=postgres", "--auth=peer"]
        subprocess.run(
            [f"{self.plan.binaries}/initdb", "-D", path, *locale, *access, "--no-sync", "--no-instructions"],
            check=True,
            capture_output=True,
            **self._as_server(descriptors, signal.SIGKILL),
        )

    def _configure(self) -> None:
        values = self.plan.settings | {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": '"' + self.plan.socket_folder + '"',
            "unix_socket_permissions": "0777",
        }
        lines = [f"{name} = '{value}'\n" for name, value in values.items()]
        if (self.plan.data / "local.conf").exists():
            lines.append("include 'local.conf'\n")
        self._write("postgresql.conf", "".join(lines))
        self._write("pg_hba.conf", "local all all peer map=owner\n")
        self._write("pg_ident.conf", "".join(f'owner "{name}" postgres\n' for name in self.plan.client_names))

    def _write(self, name: str, text: str) -> None:
        path = self.plan.data / name
        path.write_text(text)
        if self.plan.uid is not None:
            os.chown(path, self.plan.uid, self.plan.gid or -1)

    def start(self) -> None:
        """Start the server; `is_ready` tells when it accepts connections."""
        self._end_previous()
        rotate = self.plan.log.exists() and self.plan.log.stat().st_size > LOG_BYTES_KEPT
        with self.plan.log.open("wb" if rotate else "ab") as log, self._open(self.plan.data) as (path, descriptors):
            self._log_size = log.tell()
            self.process = subprocess.Popen(
                [f"{self.plan.binaries}/postgres", "-D", path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_server(descriptors, signal.SIGINT),
            )

    def _as_server(self, descriptors: list[int], when_orphaned: signal.Signals) -> dict[str, Any]:
        def die_with_parent() -> None:
            if sys.platform == "linux":
                pr_set_pdeathsig = 1
                ctypes.CDLL(None).prctl(pr_set_pdeathsig, when_orphaned)

        options: dict[str, Any] = {"pass_fds": descriptors, "cwd": "/", "preexec_fn": die_with_parent}
        if self.plan.uid is not None:
            options |= {"user": self.plan.uid, "group": self.plan.gid, "extra_groups": []}
        return options

    @contextlib.contextmanager
    def _open(self, folder: Path) -> Iterator[tuple[str, list[int]]]:
        if not self.plan.through_descriptor:
            yield str(folder), []
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", [descriptor]
        finally:
            os.close(descriptor)

    def _pid_file(self) -> list[str]:
        try:
            return (self.plan.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def is_ready(self) -> bool:
        lines = self._pid_file()
        return (
            self.process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def _end_previous(self) -> None:
        """End a server whose supervisor was killed; forget one whose process number means something else now."""
        lines = self._pid_file()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        if pid <= 1:
            return
        for stop, seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, IMMEDIATE_STOP_SECONDS)):
            deadline = time.monotonic() + seconds
            while self._is_ours(pid) and time.monotonic() < deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
                time.sleep(0.05)
        if _exists(pid) and not self._is_ours(pid):
            self._disown(self.plan.data / "postmaster.pid")
            self._disown(Path(self.plan.socket_folder) / f".s.PGSQL.{PORT}.lock")

    def _disown(self, lock: Path) -> None:
        """Write this process's number into a lock whose own is a zombie's or was given to another program.

        PostgreSQL takes a lock of its parent for stale, and then still looks for processes on the shared memory.
        """
        with contextlib.suppress(FileNotFoundError):
            lines = lock.read_text().splitlines(keepends=True)
            lock.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))

    def _is_ours(self, pid: int) -> bool:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/cwd").samefile(self.plan.data)
            return False
        shown = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip().endswith("postgres")

    def accepts(self) -> bool:
        """Whether somebody listens on the server's socket at this moment."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"{self.plan.socket_folder}/.s.PGSQL.{PORT}")
            return True
        return False

    def said(self) -> str:
        """What the server wrote to its log since it was started."""
        with self.plan.log.open("rb") as log:
            log.seek(min(self._log_size, self.plan.log.stat().st_size))
            return log.read(20_000).decode(errors="replace")

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything is written down."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        for stop, seconds in (
            (signal.SIGINT, FAST_STOP_SECONDS),
            (signal.SIGQUIT, IMMEDIATE_STOP_SECONDS),
            (signal.SIGKILL, None),
        ):
            process.send_signal(stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
