"""A program of several processes that starts and ends as one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 20.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Stopped(BaseException):
    """Somebody asked this process to end."""


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Raise `Stopped` for Ctrl-C and SIGTERM while the body runs; swallow it at the end."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        # A second signal must not interrupt the clean-up that the first one began.
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, stop) for each in handled}
    try:
        yield
    except Stopped:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def process_group(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own; when the body ends, so does every process of the group.

    Output goes to `log`. If this process is killed, the kernel ends the command (Linux).
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )
    try:
        yield process
    finally:
        _end(process)


def _die_with_parent() -> Callable[[], None] | None:
    """What the child calls before it becomes the command."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Orphans of the group become children of this process, so that it can wait for them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, then insist, then kill, until no process of the group is left."""
    for number, whole_group in ((signal.SIGINT, False), (signal.SIGTERM, True), (signal.SIGKILL, True)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number) if whole_group else process.send_signal(number)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            if _is_gone(process):
                return
            time.sleep(0.05)


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether the group has no process left; collects the ended ones."""
    if process.poll() is None:
        return False
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-process.pid, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False
