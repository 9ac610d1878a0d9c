"""The shop from nothing to a promotion that its own visitors see.

    pip install -e '.[embedded]' openfeature-provider-ofrep && python examples/shop/run.py

It works on the database of AUTO_PROMOTION_DATABASE_URL, or on the embedded one. It makes the experiment and its tokens,
starts `promotion-pipeline serve` and `promotion-pipeline dev` (Dagster's daemon, code server and UI), and lets visitors
into the shop. Then it only watches: the daemon's schedule decides, its sensor promotes, and the visitors see it.

Two things are quicker than in life. The visits of the last four days are reported at once, with the times that they
would have had. And the schedule, which looks every hour, is set to the minute after next.

Ctrl-C ends everything that it started, and it may be run again: it goes on from where things stand. At the end the
tokens are revoked; the experiment stays, to look at. `--sweep` is without Dagster: it asks for the decision over HTTP,
as a cron job would.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from promotion_pipeline import get_promotion_history
from promotion_pipeline.api.tokens import create_token, revoke_token
from promotion_pipeline.cli.dev import free_port
from promotion_pipeline.cli.processes import process_group, stop_signals
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.store.database import Store, close_current_stores, current_store

HERE = Path(__file__).parent
HOST = "127.0.0.1"
EXPERIMENT = "shop-button"
ROLES = ("evaluate", "ingest", "operator")
START_SECONDS = 120
LOOK_SECONDS = 10
VISITORS_NOW = 200


@dataclass(frozen=True)
class Shop:
    """Where the shop asks and reports."""

    url: str
    tokens: dict[str, str]

    def visit(self, visitors: int, days: float = 0) -> str:
        """Let visitors in, as many as `--visitors` over so many days until now; how many saw which button."""
        environment = {
            **os.environ,
            "SHOP_URL": self.url,
            "SHOP_EVALUATE_TOKEN": self.tokens["evaluate"],
            "SHOP_INGEST_TOKEN": self.tokens["ingest"],
        }
        command = [sys.executable, str(HERE / "shop.py"), "--visitors", str(visitors), "--days", str(days)]
        # A session of its own: Ctrl-C is ours to pass on.
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, text=True, start_new_session=True
        )
        return done.stdout.strip()


def main() -> None:
    """Run it all; ends with an error where visitors do not get what was decided."""
    arguments = argparse.ArgumentParser(description="The shop, from nothing to a promotion that its visitors see.")
    arguments.add_argument("--visitors", type=int, default=3_000, help="of the four days (default 3000)")
    arguments.add_argument("--port", type=int, help="of serve (default: a free one)")
    arguments.add_argument("--ui-port", type=int, help="of the Dagster UI (default: 3000, or the next free one)")
    arguments.add_argument("--patience-minutes", type=float, default=20, help="to wait for the daemon (default 20)")
    arguments.add_argument("--sweep", action="store_true", help="decide over HTTP, without Dagster")
    given = arguments.parse_args()
    is_done = False
    with stop_signals():
        try:
            _run(given)
            is_done = True
        except PromotionError as error:
            sys.exit(f"error: {error}")
        finally:
            close_current_stores()
    if not is_done:
        sys.exit("stopped; nothing is left running. Run it again to go on.")


def _run(given: argparse.Namespace) -> None:
    port = _free(given.port)
    if given.ui_port is not None:
        free_port(HOST, given.ui_port)
    store = current_store()
    is_new = _begin(store)
    with _tokens(store) as tokens, _served(store, port) as url:
        shop = Shop(url, tokens)
        if _state(store) not in ("ramping", "promoted"):
            _say(f"visitors of four days: {shop.visit(given.visitors, days=4)}")
            if given.sweep:
                swept = _post(f"{url}/api/monitoring/auto-promotion/check", tokens["operator"])["data"]
                _say(f"the hourly sweep: {json.dumps({name: swept[name] for name in ('checked', 'promoted')})}")
                if not swept["promoted"]:
                    sys.exit(
                        f"error: no winner yet: let more --visitors in, or see promotion-pipeline check {EXPERIMENT}"
                    )
            else:
                _let_the_daemon_decide(store, shop, given.ui_port, given.patience_minutes)
        elif not is_new:
            _say(f"{EXPERIMENT} was promoted before")
        _say(f"visitors afterwards: {_wait_for_winner(shop)}")
    _say(f"what happened: promotion-pipeline history {EXPERIMENT}")


def _free(wanted: int | None) -> int:
    """The port asked for, which nobody may be at, or one that the system gives."""
    if wanted is not None:
        return free_port(HOST, wanted)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _begin(store: Store) -> bool:
    """Make the experiment; False: it is there already."""
    with store.connect() as connection:
        if connection.execute("SELECT FROM ab_experiments WHERE name = %s", [EXPERIMENT]).rowcount:
            _say(f"{EXPERIMENT} is there already: going on with it")
            return False
        connection.execute((HERE / "experiment.sql").read_text())
    _say(f"{EXPERIMENT} begins: blue and green, half of the visitors each")
    return True


def _let_the_daemon_decide(store: Store, shop: Shop, ui_port: int | None, patience_minutes: float) -> None:
    """Start Dagster and watch until it has promoted; visitors come and go meanwhile."""
    decides_at = datetime.now(UTC) + timedelta(minutes=2)
    environment = {**os.environ, "AUTO_PROMOTION_SCHEDULE_MINUTE": str(decides_at.minute)}
    command = [sys.executable, "-m", "promotion_pipeline.cli", "dev", "--host", HOST]
    command += [] if ui_port is None else ["--port", str(ui_port)]
    log = store.settings.home / "shop-dagster.log"
    log.unlink(missing_ok=True)
    with process_group(command, environment, store.settings.home, log) as dagster:
        _say(f"Dagster starts (log: {log}); its schedule decides at {decides_at:%H:%M} UTC")
        # Once: the same people every few seconds would be a few who make much of the newest hour.
        _say(f"  visitors now: {shop.visit(VISITORS_NOW)}")
        deadline = time.monotonic() + 60 * patience_minutes
        while (state := _state(store)) not in ("ramping", "promoted"):
            if dagster.poll() is not None:
                sys.exit(f"error: Dagster ended (see {log}): {_last_line(log)}")
            if time.monotonic() > deadline:
                sys.exit(f"error: nothing was promoted in {patience_minutes:g} minutes: see {log}")
            time.sleep(LOOK_SECONDS)
        promotion = get_promotion_history(EXPERIMENT, store=store)[0]
        _say(f"{state} by {promotion.promoted_by}: {promotion.promoted_variant_name}")


def _wait_for_winner(shop: Shop) -> str:
    """Flags follow the database within a second; then every visitor sees the winner."""
    deadline = time.monotonic() + START_SECONDS
    while (seen := shop.visit(300)) != "green=300":
        if time.monotonic() > deadline:
            sys.exit(f"error: visitors do not see the winner: {seen}")
        time.sleep(1)
    return seen


@contextlib.contextmanager
def _tokens(store: Store) -> Iterator[dict[str, str]]:
    mark = f"{os.getpid()}-{int(time.time())}"
    names = {role: f"shop {role} {mark}" for role in ROLES}
    made: dict[str, str] = {}
    try:
        for role, name in names.items():
            made[role] = create_token(store, name, role, "example")[0]
        yield made
    finally:
        for role in made:
            revoke_token(store, names[role], "example")


@contextlib.contextmanager
def _served(store: Store, port: int) -> Iterator[str]:
    """`promotion-pipeline serve` on a port."""
    command = [sys.executable, "-m", "promotion_pipeline.cli", "serve", "--host", HOST, "--port", str(port)]
    log = store.settings.home / "shop-serve.log"
    log.unlink(missing_ok=True)
    with process_group(command, os.environ, store.settings.home, log) as server:
        url = f"http://{HOST}:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: serve did not start (see {log}): {_last_line(log)}")
            time.sleep(0.2)
        yield url


def _state(store: Store) -> str | None:
    """Of the newest promotion."""
    return next((one.state.value for one in get_promotion_history(EXPERIMENT, store=store)), None)


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
        urllib.request.urlopen(f"{url}/health", timeout=5).close()
        return True
    return False


def _post(url: str, token: str) -> dict[str, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers, method="POST"), timeout=120) as answer:
        found: dict[str, dict[str, object]] = json.load(answer)
    return found


def _last_line(log: Path) -> str:
    """What a process said last, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace")) if log.exists() else ""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing").strip()


def _say(sentence: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {sentence}", flush=True)


if __name__ == "__main__":
    main()
