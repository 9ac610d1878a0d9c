"""Servers that the matrix runs on, and a pooler before one of them."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.adoption.servers import binaries_of, running
from promotion_pipeline_tests.adoption.team import make_role
from promotion_pipeline_tests.cli.conftest import run_anywhere

__all__ = ["run_anywhere"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def older_server() -> Iterator[str]:
    """URL of a PostgreSQL 15 with {} for the database."""
    binaries = binaries_of(15)
    if binaries is None:
        pytest.skip("PostgreSQL 15 is not installed")
    with running(binaries) as url:
        yield url


@pytest.fixture
def new_database(server: EmbeddedServer) -> str:
    """URL of an empty database on the newest PostgreSQL, with the application's role on the server."""
    return _made(server.url)


@pytest.fixture
def older_database(older_server: str) -> str:
    """URL of an empty database on PostgreSQL 15."""
    return _made(older_server.format)


def _made(url: Callable[[str], str]) -> str:
    name = f"adopted_{os.getpid()}_{next(_numbers)}"
    create_database(url("postgres"), name, "template0")
    with connect(url("postgres")) as connection:
        make_role(connection)
    return url(name)


@pytest.fixture
def pooled_url(older_database: str, tmp_path: Path) -> Iterator[str]:
    """The same database through PgBouncer in transaction mode, with two server connections."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    parts = psycopg.conninfo.conninfo_to_dict(older_database)
    folder = Path(str(parts["host"])) / f"pool{next(_numbers)}"
    folder.mkdir(mode=0o777)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={parts['host']} user=postgres\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n"
        f"listen_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\ndefault_pool_size = 4\n"
        "server_round_robin = 1\n"
    )
    as_user = ["-u", "postgres"] if os.getuid() == 0 else []
    if as_user:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    pooler = subprocess.Popen([program, *as_user, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not (folder / ".s.PGSQL.6432").exists():
            assert time.monotonic() < deadline, "the pooler did not start"
            time.sleep(0.05)
        yield f"postgresql://postgres@:6432/{parts['dbname']}?host={str(folder).replace('/', '%2F')}"
    finally:
        pooler.terminate()
        pooler.wait(20)
