"""The shop from nothing to a promotion that its own visitors see.

    pip install -e '.[embedded]' openfeature-provider-ofrep && python examples/shop/run.py

It works on the database of AUTO_PROMOTION_DATABASE_URL, or on the embedded one: makes the experiment and its tokens,
starts `promotion-pipeline serve`, lets four days of visitors into the shop, runs the sweep that a cron job runs every
hour, and lets visitors in again. The tokens are revoked at the end; the experiment stays, to look at.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from promotion_pipeline.api.tokens import create_token, revoke_token
from promotion_pipeline.store.database import Store, close_current_stores, current_store

HERE = Path(__file__).parent
EXPERIMENT = "shop-button"
ROLES = ("evaluate", "ingest", "operator")
START_SECONDS = 60


def main() -> None:
    """Run it all; ends with an error where visitors do not get what was decided."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--visitors", type=int, default=3_000, help="of the four days")
    visitors = arguments.parse_args().visitors
    store = current_store()
    with store.connect() as connection:
        if connection.execute("SELECT FROM ab_experiments WHERE name = %s", [EXPERIMENT]).rowcount:
            sys.exit(
                f"{EXPERIMENT} is there already: see what became of it with `promotion-pipeline history {EXPERIMENT}`"
            )
        connection.execute((HERE / "experiment.sql").read_text())
    with _tokens(store) as tokens, _served() as url:
        before = _shop(url, tokens, visitors, days=4)
        print(f"visitors of four days: {before}")
        swept = _post(f"{url}/api/monitoring/auto-promotion/check", tokens["operator"])
        print(f"the hourly sweep: {json.dumps({name: swept['data'][name] for name in ('checked', 'promoted')})}")
        after = _wait_for_winner(url, tokens)
        print(f"visitors afterwards: {after}")
    close_current_stores()


@contextlib.contextmanager
def _tokens(store: Store) -> Iterator[dict[str, str]]:
    mark = f"{os.getpid()}-{int(time.time())}"
    names = {role: f"shop {role} {mark}" for role in ROLES}
    try:
        yield {role: create_token(store, name, role, "example")[0] for role, name in names.items()}
    finally:
        for name in names.values():
            revoke_token(store, name, "example")


@contextlib.contextmanager
def _served() -> Iterator[str]:
    """`promotion-pipeline serve` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "promotion_pipeline.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        try:
            while not _answers(url):
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit("serve did not start: run `promotion-pipeline serve` to see why")
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        urllib.request.urlopen(f"{url}/health", timeout=5).close()
        return True
    return False


def _shop(url: str, tokens: dict[str, str], visitors: int, days: float) -> str:
    environment = {
        **os.environ,
        "SHOP_URL": url,
        "SHOP_EVALUATE_TOKEN": tokens["evaluate"],
        "SHOP_INGEST_TOKEN": tokens["ingest"],
    }
    command = [sys.executable, str(HERE / "shop.py"), "--visitors", str(visitors), "--days", str(days)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def _wait_for_winner(url: str, tokens: dict[str, str]) -> str:
    """Flags follow the database within a second; then every visitor sees the winner."""
    deadline = time.monotonic() + START_SECONDS
    while (seen := _shop(url, tokens, 300, days=0)) != "green=300":
        if time.monotonic() > deadline:
            sys.exit(f"visitors do not see the winner: {seen}")
    return seen


def _post(url: str, token: str) -> dict[str, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers, method="POST"), timeout=120) as answer:
        found: dict[str, dict[str, object]] = json.load(answer)
    return found


if __name__ == "__main__":
    main()
