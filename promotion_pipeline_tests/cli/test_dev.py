"""`dev`: starts everything, and leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from promotion_pipeline.cli import processes
from promotion_pipeline.cli.dev import free_port
from promotion_pipeline.errors import ConflictError

TREE = """
import signal, subprocess, sys, time
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])
print("up", flush=True)
time.sleep(600)
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def processes_that_mention(marker: str) -> list[str]:
    """Command lines of running processes that have `marker` in them or in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in command + environment:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@linux_only
def test_dev_serves_the_ui_and_ends_with_everything_it_started(
    store_environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port("127.0.0.1", None)
    environment = store_environment | {"AUTO_PROMOTION_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "promotion_pipeline.cli", "dev", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Dagster UI: http://127.0.0.1:{port}\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info") as answer:
            assert answer.status == 200
        assert len(processes_that_mention(str(tmp_path))) >= 4
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert processes_that_mention(str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_way_to_ask_for_the_end_leaves_the_body_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with processes.stop_signals():
        os.kill(os.getpid(), number)
        time.sleep(60)
        raise AssertionError("the signal did not end the body")
    assert signal.getsignal(number) == before


@linux_only
def test_a_group_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.3)
    log = tmp_path / "log"
    command = [sys.executable, "-c", TREE, str(tmp_path)]
    with processes.process_group(command, os.environ, tmp_path, log):
        while "up" not in (log.read_text() if log.exists() else ""):
            time.sleep(0.02)
        assert len(processes_that_mention(str(tmp_path))) == 2
    assert processes_that_mention(str(tmp_path)) == []


def test_a_port_in_use_is_refused_when_asked_for_and_passed_over_otherwise() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConflictError, match=str(taken)):
            free_port("127.0.0.1", taken)
    assert free_port("127.0.0.1", None) >= 3000
