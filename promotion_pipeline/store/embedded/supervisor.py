"""The process that owns the embedded PostgreSQL: starts it, restarts it, stops it when nobody uses it.

It runs on the standard library alone (`python -I -S`), so that it starts in milliseconds. Every using process holds a
connection to the control socket as its lease: the kernel closes it however the process ends. The lines on that
connection:

    ready?   answered with `ready`, or with `error "text"` when the server cannot start
    bye      answered with `others` while other processes use the server; else the server is
             stopped, and the connection ends with the supervisor
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from promotion_pipeline.store.embedded.cluster import Cluster, Plan

CONTROL_SOCKET = "control.sock"
ATTEMPT_PAUSE_SECONDS = 0.2
MOST_ATTEMPTS = 100
FIRST_LEASE_SECONDS = 30.0
PASSING_FAULTS = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
"""What the log says while the processes of a killed server are still ending."""


class ServerState(enum.Enum):
    """Where the server is in its life."""

    STARTING = "starting"
    """Running, perhaps recovering; not yet accepting connections."""
    READY = "ready"
    """Accepting connections."""
    FAILED = "failed"
    """It cannot start; the reason was told to every client."""


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
            # Made again by the next start.
            with contextlib.suppress(OSError):
                Path(self.plan.socket_folder).rmdir()

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
            waiting = self.state is ServerState.STARTING or not self._served or self._asking
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
        # A server that was killed may have closed its socket before its end is reported here.
        if not self._asking or self.state is ServerState.STARTING:
            return
        if self.state is ServerState.READY and not self.cluster.accepts():
            return
        line = "ready\n" if self.state is ServerState.READY else f"error {json.dumps(self.failure)}\n"
        for client in list(self._asking):
            self._tell(client, line)
        self._asking.clear()


def main() -> None:
    """Serve the plan that is the last argument."""
    Supervisor(Plan(**json.loads(sys.argv[-1]))).run()
