"""The process that owns the embedded PostgreSQL: starts it, restarts it, stops it when nobody uses it.

It is run by its path, on the standard library alone (`python -I -S supervisor.py PLAN`), so that it starts in
milliseconds. Every using process holds a connection to the control socket as its lease: the kernel closes it
however the process ends. The lines on that connection:

    ready?   answered with `ready`, or with `error "text"` when the server cannot start
    bye      answered with `others` while other processes use the server; else the server is
             stopped, and the connection ends with the supervisor
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTROL_SOCKET = "control.sock"
PORT = 5432
"""Only names the socket file: the server does not listen on TCP."""
ATTEMPT_PAUSE_SECONDS = 0.2
MOST_ATTEMPTS = 100
FIRST_LEASE_SECONDS = 30.0
FAST_STOP_SECONDS = 120.0
IMMEDIATE_STOP_SECONDS = 10.0
LOG_BYTES_KEPT = 10_000_000
PASSING_FAULTS = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
"""What the log says while the processes of a killed server are still ending."""


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


class ServerState(enum.Enum):
    """Where the server is in its life."""

    STARTING = "starting"
    """Running, perhaps recovering; not yet accepting connections."""
    READY = "ready"
    """Accepting connections."""
    FAILED = "failed"
    """It cannot start; the reason was told to every client."""


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
        if sys.platform == "linux" and not self._is_ours(pid):
            (self.plan.data / "postmaster.pid").unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/cwd").samefile(self.plan.data)
            return False
        shown = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip().endswith("postgres")

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


class Supervisor:
    """Leases on one side, the server on the other."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster = Cluster(plan)
        self.state = ServerState.STARTING
        self.failure = ""
        self._selector = selectors.DefaultSelector()
        self._clients: set[socket.socket] = set()
        self._asking: set[socket.socket] = set()
        self._attempts = 0
        self._next_attempt = 0.0
        self._served = False
        self._terminated = False
        self._control = Path(plan.socket_folder) / CONTROL_SOCKET

    def run(self) -> None:
        """Serve until the last lease is given back."""
        os.umask(0o077)
        lock = os.open(Path(self.plan.folder) / "supervisor.lock", os.O_CREAT | os.O_RDWR, 0o600)
        if not self._become_the_only_one(lock):
            return
        self._heed_signals()
        listener = self._listen()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        try:
            self._serve()
        finally:
            self._control.unlink(missing_ok=True)
            listener.close()
            self.cluster.stop()

    def _become_the_only_one(self, lock: int) -> bool:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._control))
                return False
            time.sleep(0.01)

    def _heed_signals(self) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._terminate)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(4096))
        self._wakeup_ends = (reader, writer)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def _listen(self) -> socket.socket:
        self._control.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._control))
        self._control.chmod(0o600)
        listener.listen(256)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        return listener

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.settimeout(5.0)
        self._clients.add(client)
        self._served = True
        self._selector.register(client, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: socket.socket) -> None:
        try:
            words = client.recv(4096).decode(errors="replace").split("\n")
        except OSError:
            words = [""]
        if words == [""]:
            self._drop(client)
        if "ready?" in words:
            self._asking.add(client)
        if "bye" in words and len(self._clients) > 1:
            self._tell(client, "others\n")
            self._drop(client)
        elif "bye" in words:
            self._terminated = True

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.discard(client)
        self._asking.discard(client)
        client.close()

    def _tell(self, client: socket.socket, line: str) -> None:
        with contextlib.suppress(OSError):
            client.sendall(line.encode())

    def _serve(self) -> None:
        self._attempt(self.cluster.initialise)
        give_up = time.monotonic() + FIRST_LEASE_SECONDS
        while not self._terminated:
            unused = not self._clients and (self._served or time.monotonic() > give_up)
            if unused:
                return
            self._look_after_server()
            self._answer()
            waiting = self.state is ServerState.STARTING or not self._served
            for key, _ in self._selector.select(0.005 if waiting else None):
                key.data()

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, subprocess.SubprocessError) as error:
            shown = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else ""
            self._fail(f"{error} {shown}")

    def _fail(self, text: str) -> None:
        self.state, self.failure = ServerState.FAILED, " ".join(text.split())

    def _look_after_server(self) -> None:
        if self.state is ServerState.FAILED:
            return
        process = self.cluster.process
        if process is not None and process.poll() is None:
            if self.state is ServerState.STARTING and self.cluster.is_ready():
                self.state, self._attempts = ServerState.READY, 0
            return
        if process is not None and self.state is ServerState.STARTING and not self._may_try_again():
            return
        self.state = ServerState.STARTING
        if time.monotonic() >= self._next_attempt:
            self._attempts += 1
            self._next_attempt = time.monotonic() + ATTEMPT_PAUSE_SECONDS
            self._attempt(self.cluster.start)

    def _may_try_again(self) -> bool:
        said = self.cluster.said()
        passing = any(fault in said for fault in PASSING_FAULTS)
        if self._attempts >= (MOST_ATTEMPTS if passing else 3):
            self._fail(f"the server ended {self._attempts} times while starting: {said[-2000:]}")
            return False
        return True

    def _answer(self) -> None:
        if self.state is ServerState.STARTING:
            return
        line = "ready\n" if self.state is ServerState.READY else f"error {json.dumps(self.failure)}\n"
        for client in list(self._asking):
            self._tell(client, line)
        self._asking.clear()


if __name__ == "__main__":
    Supervisor(Plan(**json.loads(sys.argv[1]))).run()
