"""`dev`: the Dagster UI and daemon on the same database as everything else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Host
from promotion_pipeline.errors import ConflictError, DependencyError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from promotion_pipeline.store.database import Store

DEFAULT_PORT = 3000
START_SECONDS = 240.0
Port = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="Port of the UI; default 3000, or the next free one.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add `dev`."""
    summary = "Start the Dagster UI and daemon; schedule and sensor are on. Ctrl-C ends all of it."
    app.command(
        "dev",
        short_help=summary,
        help=examples(summary, "promotion-pipeline dev", "promotion-pipeline dev --port 3001"),
    )(dev)


def dev(host: Host = "127.0.0.1", port: Port = None) -> None:
    """Run until Ctrl-C or SIGTERM."""
    from promotion_pipeline.cli.processes import stop_signals
    from promotion_pipeline.config import Settings
    from promotion_pipeline.store.database import open_store

    settings = Settings.from_environment()
    with stop_signals(), only_one(settings.home), open_store(settings) as store:
        _run(store, host, free_port(host, port))
    output.note("Stopped; nothing is left running.")


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of a home: two daemons on it would take turns with every schedule and sensor.

    Raises:
        ConflictError: another `dev` holds it.
    """
    import fcntl

    home.mkdir(parents=True, exist_ok=True)
    with (home / "dev.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            who = lock.read().strip() or "unknown"
            raise ConflictError(
                f"`dev` runs on {home} already (process {who}): use that one, or another AUTO_PROMOTION_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def links_to(host: str, port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Where links in messages lead: to this UI, unless the environment says where people reach it."""
    variable = "AUTO_PROMOTION_DAGSTER_URL"
    return {} if environment.get(variable, "").strip() else {variable: f"http://{host}:{port}"}


def _run(store: Store, host: str, port: int) -> None:
    from promotion_pipeline.cli.processes import process_group
    from promotion_pipeline.orchestration.instance import instance_environment

    added = instance_environment(store) | links_to(host, port, os.environ)
    home = Path(added["DAGSTER_HOME"])
    log = home / "dev.log"
    # `dg dev` starts the same processes for a module, and is a package that nothing else of the product needs.
    command = [sys.executable, "-m", "dagster", "dev", "-m", "promotion_pipeline.definitions"]
    output.note(f"Starting the Dagster UI and daemon (log: {log}) ...")
    with process_group([*command, "--host", host, "--port", str(port)], os.environ | added, home, log) as process:
        url = f"http://{host}:{port}"
        wait_until_ready(process, url, log)
        output.print_line(f"Dagster UI: {url}")
        output.note("The schedule decides every hour, the sensor promotes. Ctrl-C stops everything.")
        code = process.wait()
        raise DependencyError(f"Dagster ended by itself with exit code {code}: see {log}")


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the UI answers.

    Raises:
        DependencyError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DependencyError(f"Dagster did not start (exit code {process.returncode}): see {log}")
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise DependencyError(f"the Dagster UI did not answer at {url} within {START_SECONDS:g} s: see {log}")


def free_port(host: str, wanted: int | None) -> int:
    """The port asked for, or the first free one from 3000 on.

    Raises:
        ConflictError: the port asked for is in use.
    """
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + 100) if wanted is None else [wanted]
    for port in candidates:
        if _is_free(host, port):
            return port
    raise ConflictError(f"port {candidates[0]} of {host} is in use: end what uses it, or choose another with --port")


def _is_free(host: str, port: int) -> bool:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
