"""The HTTP interface of ClickHouse, spoken to a small server that has ClickHouse's own engine behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from promotion_pipeline.errors import DependencyError, InputError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.clickhouse import ClickhouseServer
from promotion_pipeline.rollups.pushdown import read_source_rollups
from promotion_pipeline_tests.rollups.engines.logs import (
    HOUR,
    HOURS,
    SPRING,
    as_table,
    experiment_phases,
    requests,
    write_parquet,
)
from promotion_pipeline_tests.rollups.engines.reference import assert_same, expected


class Handler(BaseHTTPRequestHandler):
    """What ClickHouse does with POST /?default_format=..., as far as we use it."""

    session: Any

    def do_POST(self) -> None:
        given = parse_qs(urlsplit(self.path).query)
        query = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers.get("X-ClickHouse-Key") != "hunter2":
            return self._answer(403, b"Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
        assert given["database"] == ["team"]
        try:
            return self._answer(200, bytes(self.session.query(query, given["default_format"][0]).bytes()))
        except RuntimeError as error:
            return self._answer(404, str(error).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address(chdb_session: Any) -> Iterator[str]:
    Handler.session = chdb_session
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def server_of(address: str, table: str, password: str = "hunter2") -> ClickhouseServer:
    values = {"engine": "clickhouse", "url": f"http://reader:{password}@{address}/team", "table": [table]}
    return ClickhouseServer(parse_source(values))


def test_a_server_gives_the_same_sums(address: str, chdb_session: Any, tmp_path: Path) -> None:
    log, phases, end = requests(SPRING, 8, count=1500), experiment_phases(SPRING), SPRING + HOURS * HOUR
    chdb_session.query("DROP TABLE IF EXISTS served")
    chdb_session.query(
        f"CREATE TABLE served ENGINE = Memory AS SELECT * FROM file('{write_parquet(log, tmp_path)}', 'Parquet')"
    )
    source = server_of(address, "served")
    assert_same(
        read_source_rollups(source, phases, SPRING, end), expected(as_table(log).to_pandas(), phases, SPRING, end)
    )
    source.close()


def test_what_a_server_refuses_is_one_clear_line(address: str) -> None:
    with pytest.raises(InputError, match="ClickHouse finds no `nosuch`"):
        server_of(address, "nosuch").columns()
    with pytest.raises(DependencyError, match="Authentication failed") as caught:
        server_of(address, "nosuch", "wrong-password").columns()
    assert "wrong-password" not in str(caught.value)
