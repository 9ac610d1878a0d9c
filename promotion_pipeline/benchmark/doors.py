"""Promotion and the HTTP API at 50 requests a second on loopback: p50, p95, p99, and what bounds them.

A real uvicorn in a process of its own, a real PostgreSQL with the configuration of production, requests sent on a
clock whether or not earlier ones were answered; a latency counts from the instant that the clock named.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psycopg
from psycopg.rows import DictRow

from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Connection, Store, open_store
from promotion_pipeline.store.windows import HOUR

HISTORY_HOURS = 336
REQUESTS_AN_HOUR = 100
"""Of each variant. The newest hour is still in `ai_requests`, as it is before the hourly run."""
NO_ANSWER = 0

SEED = {
    "experiments": """
        INSERT INTO ab_experiments (name, start_date)
        SELECT 'bench-' || n, %(start)s FROM generate_series(1, %(experiments)s) AS n""",
    "variants": """
        INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
        SELECT id, 'variant-' || arm, arm = 0, CASE WHEN arm = 0 THEN 33.34 ELSE 33.33 END
        FROM ab_experiments CROSS JOIN generate_series(0, 2) AS arm""",
    "history": """
        INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
            latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares, newest_request_at)
        SELECT hour, phase.experiment_id, phase.id, variant.id, %(each)s,
            CASE variant.name WHEN 'variant-1' THEN 6 ELSE 4 END, 1, %(each)s, 12000, 1500000, 0, 0,
            hour + interval '59 minutes'
        FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
        CROSS JOIN generate_series(%(start)s, %(end)s - interval '2 hours', '1 hour') AS hour""",
    "hours": """
        INSERT INTO rollup_hours (hour, requests)
        SELECT hour, 0 FROM generate_series(%(start)s, %(end)s - interval '2 hours', '1 hour') AS hour""",
    "covered": """
        INSERT INTO phase_rollups (phase_id, covered)
        SELECT id, tstzmultirange(tstzrange(%(start)s, %(end)s - interval '1 hour')) FROM ab_experiment_phases""",
    "dropped": "INSERT INTO dropped_requests (before) VALUES (%(end)s - interval '1 hour')",
    "requests": """
        INSERT INTO ai_requests (experiment_id, variant_id, created_at, latency_ms, is_error, converted)
        SELECT variant.experiment_id, variant.id, %(end)s - number * interval '35 seconds', 120, false, number %% 20 = 0
        FROM ab_variants AS variant CROSS JOIN generate_series(1, %(each)s) AS number""",
}


@dataclass(frozen=True)
class Percentiles:
    """Of a number of durations."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    def __str__(self) -> str:
        """For a table."""
        return f"p50 {self.p50_ms:6.1f} ms   p95 {self.p95_ms:6.1f} ms   p99 {self.p99_ms:6.1f} ms   ({self.count:,})"


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """p50, p95 and p99 in milliseconds."""
    p50, p95, p99 = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 99])
    return Percentiles(len(seconds), float(p50), float(p95), float(p99))


class _TimedConnection(psycopg.Connection[DictRow]):
    """A connection that knows how long it waited for the database."""

    waited = 0.0
    messages = 0

    def wait(self, gen: Any, *rest: Any) -> Any:
        """Every message goes through here."""
        begin = time.perf_counter()
        try:
            return super().wait(gen, *rest)
        finally:
            _TimedConnection.waited += time.perf_counter() - begin
            _TimedConnection.messages += 1


@dataclass(frozen=True)
class _TimedStore(Store):
    def open_connection(self) -> Connection:
        return connect(self.url, _TimedConnection)


@dataclass(frozen=True)
class Call:
    """One request of the load."""

    kind: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    key: str | None = None


@dataclass(frozen=True)
class Reply:
    """What became of it; `seconds` from the instant at which it was due."""

    kind: str
    seconds: float
    status: int


def report(rate: int = 50, seconds: int = 30) -> str:
    """Print-ready lines.

    Args:
        rate: HTTP requests a second.
        seconds: how long they are sent.
    """
    calls = load_of(rate * seconds)
    acted = sum(call.kind == "promote" for call in calls)
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        seed_experiments(store, 2 * acted)
        # Promoted here, rolled back over HTTP.
        lines = _promotions(store, range(acted + 1, 2 * acted + 1))
        lines += _http(store, calls, rate)
    return "\n".join(lines)


def load_of(count: int, seed: int = 0) -> list[Call]:
    """The requests: of ten, six check, two read the history, one promotes, one rolls back.

    No request needs the answer of another, so all must succeed in whatever order they are served: promoted are the
    first tenth of the experiments, rolled back those of the second, which were promoted before.
    """
    rng, acted, calls = random.Random(seed), count // 10, []
    for number in range(count):
        tenth = number // 10 + 1
        match number % 10:
            case 3:
                body = {"promotionType": "manual"}
                calls.append(Call("promote", "POST", _path(tenth, "promote"), body, key=f"promote-{tenth}"))
            case 8:
                path, body = _path(acted + tenth, "rollback"), {"reason": "benchmark"}
                calls.append(Call("roll back", "POST", path, body, key=f"roll-back-{tenth}"))
            case 1 | 6:
                calls.append(Call("history", "GET", _path(acted + rng.randint(1, acted), "history")))
            case _:
                calls.append(Call("check", "GET", _path(rng.randint(1, acted), "promote")))
    return calls


def _path(number: int, act: str) -> str:
    return f"/api/monitoring/experiments/bench-{number}/{act}"


def seed_experiments(store: Store, experiments: int) -> None:
    """Experiments `bench-1` and on, each with a winner, two weeks of sums, and the newest hour's requests."""
    with store.connect() as connection:
        end = newest_complete_hour(connection)
        values = {
            "start": end - HISTORY_HOURS * HOUR,
            "end": end,
            "experiments": experiments,
            "each": REQUESTS_AN_HOUR,
        }
        for statement in SEED.values():
            connection.execute(statement, values)
        connection.execute("VACUUM (ANALYZE)")


def _promotions(store: Store, numbers: Sequence[int]) -> list[str]:
    """Promotions in this process, and where their time goes."""
    timed = _TimedStore(store.url, store.settings)
    promote_winner(f"bench-{numbers[0]}", "manual", "benchmark", store=timed)
    _TimedConnection.waited, _TimedConnection.messages = 0.0, 0
    seconds = []
    for number in numbers[1:]:
        begin = time.perf_counter()
        promote_winner(f"bench-{number}", "manual", "benchmark", store=timed)
        seconds.append(time.perf_counter() - begin)
    total, waited = sum(seconds), _TimedConnection.waited
    each = len(seconds) / 1e3
    return [
        f"promote_winner() in process, one after the other, {HISTORY_HOURS} hours x 3 variants behind each",
        f"  one promotion    {percentiles(seconds)}",
        f"  of the mean {total / each:.1f} ms: {waited / each:.1f} ms wait for the database in"
        f" {_TimedConnection.messages / len(seconds):.0f} messages,"
        f" {(total - waited) / each:.1f} ms Python (frames, evaluation, connecting)",
        f"  a COMMIT of one row takes {_commit_seconds(store) * 1e3:.1f} ms on this disk; the floor of any promotion",
    ]


def _commit_seconds(store: Store, count: int = 50) -> float:
    with store.connect() as connection:
        connection.execute("CREATE TABLE bench_commit (n integer)")
        seconds = []
        for number in range(count):
            begin = time.perf_counter()
            connection.execute("INSERT INTO bench_commit VALUES (%s)", [number])
            seconds.append(time.perf_counter() - begin)
        connection.execute("DROP TABLE bench_commit")
    return float(np.median(seconds))


def _http(store: Store, calls: Sequence[Call], rate: int) -> list[str]:
    """The load over HTTP, against a server in a process of its own."""
    secret, _ = create_token(store, "benchmark", Role.OPERATOR, "benchmark")
    headers = {"Authorization": f"Bearer {secret}"}
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(store.url, theirs), daemon=True)
    process.start()
    try:
        address = pipe.recv()
        floor = asyncio.run(_send(address, headers, [Call("health", "GET", "/health")] * 100, rate))
        # A warm-up: imports and first connections are paid once.
        asyncio.run(_send(address, headers, [call for call in calls if call.kind == "check"][:20], 10))
        busy_before = _ask(pipe)
        begin = time.perf_counter()
        replies = asyncio.run(_send(address, headers, calls, rate))
        elapsed = time.perf_counter() - begin
        busy = (_ask(pipe) - busy_before) / elapsed
    finally:
        process.terminate()
        process.join()
    return _http_lines(replies, floor, rate, busy)


def _ask(pipe: Pipe) -> float:
    """Seconds of processor that the server has used."""
    pipe.send("busy?")
    return float(pipe.recv())


def _http_lines(replies: Sequence[Reply], floor: Sequence[Reply], rate: int, busy: float) -> list[str]:
    others = Counter(f"{reply.kind} {reply.status or 'no answer'}" for reply in replies if reply.status != 200)
    failed = (
        "all answered 200" if not others else f"not 200: {', '.join(f'{n} x {what}' for what, n in others.items())}"
    )
    lines = [f"HTTP API at {rate} requests a second on loopback, one uvicorn process, {failed}"]
    kinds = sorted({reply.kind for reply in replies})
    for name, chosen in [("all", replies), *((kind, [r for r in replies if r.kind == kind]) for kind in kinds)]:
        lines.append(f"  {name:<16} {percentiles([reply.seconds for reply in chosen])}")
    lines += [
        f"  {'health':<16} {percentiles([reply.seconds for reply in floor])}: HTTP and one query, the floor",
        f"  the server's Python used {busy:.0%} of one processor: what bounds it; about {rate / busy:.0f} requests a"
        " second fill one process",
    ]
    return lines


async def _send(address: str, headers: dict[str, str], calls: Sequence[Call], rate: int) -> list[Reply]:
    # Connections are dropped before the server would: else one may be closed with a request under way.
    limits = httpx2.Limits(max_connections=100, keepalive_expiry=2)
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=60, limits=limits) as client:
        begin = time.perf_counter() + 0.1
        return await asyncio.gather(*(_one(client, call, begin + n / rate) for n, call in enumerate(calls)))


async def _one(client: httpx2.AsyncClient, call: Call, due: float) -> Reply:
    await asyncio.sleep(due - time.perf_counter())
    headers = {"Idempotency-Key": call.key} if call.key else {}
    try:
        status = (await client.request(call.method, call.path, json=call.body, headers=headers)).status_code
    except httpx2.TransportError:
        status = NO_ANSWER
    return Reply(call.kind, time.perf_counter() - due, status)


def _serve(url: str, pipe: Pipe) -> None:
    """In the server's process: tell the address, then the processor time whenever asked."""
    import uvicorn

    from promotion_pipeline.api import create_app

    app = create_app(Store(url, Settings()))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, server_header=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    pipe.send(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    while pipe.recv():
        used = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(used.ru_utime + used.ru_stime)
