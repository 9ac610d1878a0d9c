"""Whether promoting takes longer while a channel hangs: acts with no channel, one that answers, and one that hangs.

Three databases on one server, each with a delivery of its own going on in a process of its own, against a Slack and a
PagerDuty on loopback. The acts are interleaved, so that whatever else the machine does meets all three alike.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pydantic import SecretStr

from promotion_pipeline.benchmark.doors import percentiles, seed_experiments
from promotion_pipeline.benchmark.measure import Timing, interleaved
from promotion_pipeline.config import Settings
from promotion_pipeline.notifications import DeliveryPolicy, deliver_everything
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer

WARM_UP = 10


class Channels(StrEnum):
    """What the channels of one database do."""

    OFF = "off"
    """There is none."""
    ANSWER = "answer"
    """They take every message at once."""
    HANG = "hang"
    """They accept the connection and say nothing."""


RESTLESS = DeliveryPolicy(first_wait_seconds=0.0, longest_wait_seconds=0.0, longest_pause_seconds=0.0)
"""A channel that hangs would rest otherwise, and hang less."""


def report(runs: int = 100) -> str:
    """Print-ready lines.

    Args:
        runs: how often each of the three promotes and rolls back.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(EmbeddedServer(Path(folder)))
        stores = {channels: _store(server, channels, runs + WARM_UP) for channels in Channels}
        for channels in (Channels.ANSWER, Channels.HANG):
            stack.enter_context(_delivering(stores[channels], channels))
        acts = {channels.value: _acts(store) for channels, store in stores.items()}
        timings = interleaved(acts, runs=runs, warm_up=WARM_UP)
        return "\n".join(_lines(timings, stores))


def _lines(timings: dict[str, Timing], stores: dict[Channels, Store]) -> list[str]:
    floor = timings[Channels.ANSWER].median
    lines = ["promote_winner() and rollback_promotion(), while another process delivers their notifications"]
    for channels, store in stores.items():
        timing = timings[channels]
        ratio = f"{timing.median / floor:.2f} of that with channels that answer"
        lines.append(f"  channels {channels:<7} {percentiles(timing.seconds)}  {ratio}; {_told(store)}")
    return lines


def _store(server: EmbeddedServer, channels: Channels, experiments: int) -> Store:
    create_database(server.url("postgres"), channels.value)
    store = Store(server.url(channels.value), Settings())
    migrate.upgrade(store.url)
    seed_experiments(store, experiments)
    return store


def _acts(store: Store) -> Callable[[], None]:
    numbers = itertools.count(1)

    def act() -> None:
        name = f"bench-{next(numbers)}"
        promote_winner(name, "manual", "benchmark", store=store)
        rollback_promotion(name, "benchmark", "benchmark", store=store)

    return act


def _told(store: Store) -> str:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM notification_outbox) AS written,"
            " count(*) FILTER (WHERE state = 'delivered') AS delivered, coalesce(sum(attempts), 0) AS attempts"
            " FROM notification_deliveries"
        ).fetchone()
    assert row is not None
    return f"{row['written']} written, {row['attempts']} sendings begun, {row['delivered']} confirmed"


@contextmanager
def _delivering(store: Store, channels: Channels) -> Iterator[None]:
    """Deliver in a process of its own until the block ends."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_deliver, args=(store.url, channels is Channels.HANG, ready), daemon=True)
    process.start()
    try:
        ready.wait()
        yield
    finally:
        # Stopped hard: it may be waiting for a message that is never answered.
        process.kill()
        process.join()


def _deliver(url: str, hangs: bool, ready: threading.Event) -> None:
    """In the delivery's process: one pass after the other."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Hanging if hangs else _Answering)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{web.server_address[1]}"
    settings = Settings(
        slack_token=SecretStr("benchmark"),
        slack_base_url=f"{address}/api/",
        pagerduty_routing_key=SecretStr("benchmark"),
        pagerduty_base_url=address,
    )
    store = Store(url, settings)
    deliver_everything(store, policy=RESTLESS)
    ready.set()
    while True:
        deliver_everything(store, policy=RESTLESS)
        time.sleep(0.1)


class _Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_slack = self.path.startswith("/api/")
        body = json.dumps({"ok": True, "status": "success", "channel": "C1", "ts": "1.0"}).encode()
        self.send_response(200 if is_slack else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what is measured prints nothing."""


class _Hanging(_Answering):
    def do_POST(self) -> None:
        time.sleep(3600)
