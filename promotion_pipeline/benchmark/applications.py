"""What applications ask and send: evaluations of a flag beside a bare route, batches of requests beside COPY.

Servers run in processes of their own; one connection asks one after the other, in turn of both servers, so that a drift
of the machine's speed meets both alike.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI
from psycopg.types.json import Jsonb

from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.benchmark.doors import percentiles
from promotion_pipeline.benchmark.measure import interleaved
from promotion_pipeline.config import Settings
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store, open_store

FLAG = "bench"
EVALUATIONS, WARM_UP, IN_TURN = 10_000, 500, 100
BATCH_ROWS, BATCHES = 10_000, 15
COPY = (
    "COPY ai_requests (id, experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted, value)"
    " FROM STDIN"
)


@dataclass(frozen=True)
class _Server:
    """A server in a process of its own, and a connection to it."""

    client: http.client.HTTPConnection
    pipe: Pipe
    headers: dict[str, str]

    def post(self, path: str, body: bytes) -> bytes:
        """The body of an answer that is 200."""
        self.client.request("POST", path, body, self.headers)
        answer = self.client.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content

    def busy_seconds(self) -> float:
        """Seconds of processor that the server has used."""
        self.pipe.send("busy?")
        return float(self.pipe.recv())


def report(evaluations: int = EVALUATIONS, batches: int = BATCHES) -> str:
    """Print-ready lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Settings(home=Path(folder))) as store,
        ExitStack() as stack,
    ):
        experiment, variant = _experiment(store)
        secret, _ = create_token(store, "benchmark", Role.ADMIN, "benchmark")
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        ours = _started(stack, _serve_ours, store.url, headers)
        lines = _evaluations(ours, _started(stack, _serve_bare, store.url, headers), evaluations)
        lines += _batches(ours, store, experiment, variant, batches)
    return "\n".join(lines)


def _evaluations(ours: _Server, bare: _Server, count: int) -> list[str]:
    path = f"/ofrep/v1/evaluate/flags/{FLAG}"
    servers = {"evaluation of a flag by OFREP": ours, "bare FastAPI route, a constant": bare}
    seconds: dict[str, list[float]] = {name: [] for name in servers}
    busy: dict[str, float] = {}
    for name, server in servers.items():
        for number in range(WARM_UP):
            server.post(path, _context(number))
        busy[name] = server.busy_seconds()
    for start in range(0, count, IN_TURN):
        for name, server in servers.items():
            for number in range(start, start + IN_TURN):
                body = _context(number)
                begin = time.perf_counter()
                server.post(path, body)
                seconds[name].append(time.perf_counter() - begin)
    lines = [f"{count:,} evaluations over HTTP, one process, one connection; logging to nowhere"]
    for name, server in servers.items():
        busy[name] = (server.busy_seconds() - busy[name]) / count
        lines.append(f"  {name:<32} {percentiles(seconds[name])}; {1 / busy[name]:,.0f} a second fill one processor")
    ratio = busy["evaluation of a flag by OFREP"] / busy["bare FastAPI route, a constant"]
    return [*lines, f"  an evaluation takes {ratio:.2f} times the processor of the bare route (aim: at most 2)"]


def _batches(ours: _Server, store: Store, experiment: UUID, variant: UUID, count: int) -> list[str]:
    def send() -> None:
        rows = [
            {"id": str(uuid4()), "experiment": FLAG, "variant": "a", "userId": f"u-{number}", "latencyMs": 12.5}
            for number in range(BATCH_ROWS)
        ]
        body = json.dumps(rows).encode()
        begin = time.perf_counter()
        answer = json.loads(ours.post("/api/monitoring/requests", body))
        seconds["POST /api/monitoring/requests"].append(time.perf_counter() - begin)
        assert answer["data"]["accepted"] == BATCH_ROWS

    def copy() -> None:
        now = datetime.now(UTC)
        rows = [
            (uuid4(), experiment, variant, f"u-{number}", now, 12.5, False, False, None) for number in range(BATCH_ROWS)
        ]
        begin = time.perf_counter()
        with connection.transaction(), connection.cursor().copy(COPY) as into:
            for row in rows:
                into.write_row(row)
        seconds["psycopg COPY of the same rows"].append(time.perf_counter() - begin)

    seconds: dict[str, list[float]] = {"POST /api/monitoring/requests": [], "psycopg COPY of the same rows": []}
    with connect(store.url) as connection:
        interleaved({"send": send, "copy": copy}, runs=count)
    medians = {name: sorted(values[1:])[count // 2] for name, values in seconds.items()}
    lines = [f"{BATCH_ROWS:,} requests in one batch, median of {count}"]
    lines += [f"  {name:<32} {BATCH_ROWS / median:,.0f} rows a second" for name, median in medians.items()]
    ratio = medians["POST /api/monitoring/requests"] / medians["psycopg COPY of the same rows"]
    return [*lines, f"  a batch over HTTP takes {ratio:.2f} times the time of COPY (aim: at most 2)"]


def _context(number: int) -> bytes:
    return json.dumps({"context": {"targetingKey": f"user-{number}"}}).encode()


def _experiment(store: Store) -> tuple[UUID, UUID]:
    """An experiment of two variants behind a flag; its id and one variant's."""
    with store.connect() as connection:
        made = connection.execute(
            "INSERT INTO ab_experiments (name, traffic_target) VALUES (%s, %s) RETURNING id",
            [FLAG, Jsonb({"kind": "ofrep", "flag": FLAG})],
        ).fetchone()
        assert made is not None
        variants = connection.execute(
            "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
            " VALUES (%(id)s, 'a', true, 50), (%(id)s, 'b', false, 50) RETURNING id",
            {"id": made["id"]},
        ).fetchall()
    return made["id"], variants[0]["id"]


def _started(
    stack: ExitStack, serve: Callable[[str, Pipe], None], database_url: str, headers: dict[str, str]
) -> _Server:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(database_url, theirs), daemon=True)
    process.start()
    stack.callback(process.join)
    stack.callback(process.terminate)
    client = http.client.HTTPConnection("127.0.0.1", pipe.recv(), timeout=60)
    stack.callback(client.close)
    return _Server(client, pipe, headers)


def _serve_ours(database_url: str, pipe: Pipe) -> None:
    from promotion_pipeline.api import create_app

    _serve(create_app(Store(database_url, Settings())), pipe)


def _serve_bare(_database_url: str, pipe: Pipe) -> None:
    app = FastAPI()

    @app.post("/ofrep/v1/evaluate/flags/{key}")
    async def constant(key: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        return {"key": key, "value": "a", "reason": "SPLIT", "variant": "a", "metadata": {}}

    _serve(app, pipe)


def _serve(app: FastAPI, pipe: Pipe) -> None:
    """In the server's process: tell the port, then the processor time whenever asked."""
    import uvicorn

    from promotion_pipeline.api.protocol import BoundedProtocol

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, access_log=False, log_config=None, server_header=False, http=BoundedProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    pipe.send(server.servers[0].sockets[0].getsockname()[1])
    with contextlib.suppress(EOFError):
        while pipe.recv():
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)
