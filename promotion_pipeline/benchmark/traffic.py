"""Promotion while what serves the traffic hangs, beside one that answers; and ten thousand flags in memory.

The act writes what is to be served in its own transaction and talks to nobody; the call that acted waits for the
delivery afterwards, for at most 30 seconds. Both are measured, and told apart.
"""

from __future__ import annotations

import base64
import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from psycopg.types.json import Jsonb
from pydantic import SecretStr

from promotion_pipeline.benchmark.doors import percentiles, seed_experiments
from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.serving import wait_until_served
from promotion_pipeline.store.database import Store, open_store
from promotion_pipeline.traffic.serving import read_flags

PROMOTIONS = 60
"""Of each kind."""
WAITS = 5
"""Acting calls that are waited for, of the target that answers; of the one that hangs it is one."""
FLAGS = 10_000
LOOKS = 15
ANSWERS, HANGS = "a target that answers", "a target that hangs"
_SECRET = "whsec_" + base64.b64encode(b"of a benchmark on loopback").decode()
_FLAGGED = """
    INSERT INTO ab_experiments (name, traffic_target)
    SELECT 'flag-' || n, jsonb_build_object('kind', 'ofrep', 'flag', 'flag-' || n)
    FROM generate_series(1, %(flags)s) AS n"""
_ARMS = """
    INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
    SELECT id, 'variant-' || arm, arm = 0, CASE WHEN arm = 0 THEN 33.34 ELSE 33.33 END
    FROM ab_experiments CROSS JOIN generate_series(0, 2) AS arm"""


class _AnsweringTarget(BaseHTTPRequestHandler):
    """Serves whatever it is posted."""

    def do_POST(self) -> None:
        """Take a split and say that it is served."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"split": body["data"]["split"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _HangingTarget(BaseHTTPRequestHandler):
    """Takes a request and never answers."""

    ended = threading.Event()

    def do_POST(self) -> None:
        """Wait for the end of the benchmark."""
        self.ended.wait()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def report(promotions: int = PROMOTIONS, flags: int = FLAGS) -> str:
    """Print-ready lines."""
    settings = {"traffic_webhook_secret": SecretStr(_SECRET)}
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder), **settings)) as store:
        lines = _promotions(store, promotions)
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        lines += _flags(store, flags)
    return "\n".join(lines)


def _promotions(store: Store, count: int) -> list[str]:
    seed_experiments(store, 2 * count)
    seconds: dict[str, list[float]] = {ANSWERS: [], HANGS: []}
    waits: dict[str, list[float]] = {ANSWERS: [], HANGS: []}
    with _listening(_AnsweringTarget) as answering, _listening(_HangingTarget) as hanging:
        for number in range(1, 2 * count + 1):
            kind, url = ((ANSWERS, answering), (HANGS, hanging))[number % 2]
            name = f"bench-{number}"
            _aim(store, name, url)
            begin = time.perf_counter()
            promotion = promote_winner(name, "manual", "benchmark", store=store)
            seconds[kind].append(time.perf_counter() - begin)
            if len(waits[kind]) < (WAITS if kind == ANSWERS else 1):
                begin = time.perf_counter()
                wait_until_served(store, promotion.experiment_id)
                waits[kind].append(time.perf_counter() - begin)
        _HangingTarget.ended.set()
    ratio = statistics.median(seconds[HANGS]) / statistics.median(seconds[ANSWERS])
    return [
        f"a promotion, to the end of its transaction; {count} of each kind, in turn",
        *(f"  {kind:<24} {percentiles(measured)}" for kind, measured in seconds.items()),
        f"  with the one that hangs it takes {ratio:.2f} times the time (aim: 1.0)",
        "  afterwards the call that acted waits until it is served, or for 30 seconds:",
        *(f"  {kind:<24} {statistics.median(measured):.2f} s" for kind, measured in waits.items()),
    ]


def _aim(store: Store, name: str, url: str) -> None:
    target = Jsonb({"kind": "webhook", "url": url})
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE name = %s", [target, name])


@contextlib.contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/split"
    finally:
        server.shutdown()
        server.socket.close()


def _flags(store: Store, count: int) -> list[str]:
    """What `serve` does every second, and when something was written."""
    with store.connect() as connection:
        connection.execute(_FLAGGED, {"flags": count})
        connection.execute(_ARMS)
        connection.execute("VACUUM (ANALYZE)")
        flags, unchanged, changed = read_flags(connection), [], []
        for number in range(LOOKS):
            begin, used = time.perf_counter(), time.process_time()
            flags = read_flags(connection, flags)
            unchanged.append((time.perf_counter() - begin, time.process_time() - used))
            if number % 5 == 4:
                connection.execute(
                    "UPDATE ab_variants SET name = %s WHERE id = (SELECT min(id::text)::uuid FROM ab_variants)",
                    [f"renamed-{number}"],
                )
                begin, used = time.perf_counter(), time.process_time()
                flags = read_flags(connection, flags)
                changed.append((time.perf_counter() - begin, time.process_time() - used))
    lines = [f"{count:,} flags of three variants in the memory of serve, which looks every second; medians"]
    for what, measured in (("nothing was written", unchanged), ("a variant was renamed", changed)):
        wall, used = (statistics.median(part) * 1e3 for part in zip(*measured, strict=True))
        lines.append(f"  {what:<24} {wall:,.1f} ms, of which {used:,.1f} ms of this process's processor")
    return lines
