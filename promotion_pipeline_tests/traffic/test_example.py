"""The example application: its documented command, with the sweep in place of the daemon, which takes minutes.

The whole of it: `python examples/shop/run.py`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.test_dev import processes_that_mention

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop" / "run.py"


@pytest.fixture
def environment(store_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Of the command: a home of its own."""
    return store_environment | {"AUTO_PROMOTION_HOME": str(tmp_path)}


def run(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), "--visitors", "2400", "--sweep", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_the_shop_goes_from_nothing_to_a_promotion_that_its_own_visitors_see(
    store: Store, environment: dict[str, str], tmp_path: Path
) -> None:
    done = run(environment)

    assert done.returncode == 0, done.stderr
    assert '"promoted": 1' in done.stdout
    assert "visitors afterwards: green=300" in done.stdout
    logged = store.rows("SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM ai_requests", {})
    assert logged[0]["n"] >= 2_400 + 300
    assert logged[0]["users"] == 2_400

    again = run(environment)

    assert again.returncode == 0, again.stderr
    assert "shop-button was promoted before" in again.stdout
    assert store.rows("SELECT 1 FROM api_tokens WHERE revoked_at IS NULL", {}) == []
    assert processes_that_mention(str(tmp_path)) == []


def test_a_port_that_is_taken_is_named_and_nothing_is_made(store: Store, environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run(environment, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 is in use: end what uses it, or choose another with --port\n"
    )
    assert store.rows("SELECT 1 FROM ab_experiments", {}) == []


def test_ctrl_c_ends_everything_that_was_started(store: Store, environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), "--visitors", "1000000", "--sweep"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(processes_that_mention(str(EXAMPLE.with_name("shop.py")))) < 1:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said == "stopped; nothing is left running. Run it again to go on.\n"
    assert processes_that_mention(str(tmp_path)) == []
    assert store.rows("SELECT 1 FROM api_tokens WHERE revoked_at IS NULL", {}) == []
