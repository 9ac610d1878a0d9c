"""One hour with e-mail on: processes, processor time and bytes of Dagster's event log; and loading the code location.

    python -m promotion_pipeline.benchmark.hour                       this checkout
    python -m promotion_pipeline.benchmark.hour --beside ../before    and another one, hour by hour in turn

Every side has databases of its own on one server and decides the same hours. Counted is what a run launcher starts: the
hourly run, and then whatever the sensors and the other schedules ask for, until they ask for nothing. The daemon and
the code server, which live on, are not. Bytecode is compiled first.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from promotion_pipeline.benchmark.measure import Run, machine, measured_process
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.store.windows import HOUR

EXPERIMENTS = 100
REQUESTS_EACH = 100
"""Of an experiment in an hour."""
HOURS = 2
"""Measured a round, after one that is not: a summary is only written of the newest hours."""
ROUNDS = 2
LOADS = 5
MOST_ASKS = 5
HERE = Path(__file__).resolve().parents[2]
SIDE = Path(__file__).with_name("hour_of_side.py")


class _Mail(socketserver.StreamRequestHandler):
    """Takes every message."""

    def handle(self) -> None:
        self.wfile.write(b"220 benchmark\r\n")
        in_message = False
        for line in self.rfile:
            command = line.strip().upper()
            if in_message:
                in_message = command != b"."
                self.wfile.write(b"" if in_message else b"250 taken\r\n")
            elif command == b"DATA":
                in_message = True
                self.wfile.write(b"354 go on\r\n")
            elif command == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


@contextmanager
def _mail_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@dataclass(frozen=True)
class Hour:
    """What one hour cost."""

    jobs: tuple[str, ...]
    processor_seconds: float
    event_bytes: int
    events: int


@dataclass
class Side:
    """One checkout with its databases."""

    checkout: Path
    environment: dict[str, str]
    events_url: str
    end: datetime
    hours: list[Hour] = field(default_factory=list)

    def hour(self, end: datetime) -> Hour:
        """Decide the hour that ends then, and do whatever is asked for afterwards."""
        bytes_before, events_before = self._events()
        jobs, seconds = self._do(self._ask("hour", (end + timedelta(minutes=5)).isoformat()))
        for _ in range(MOST_ASKS):
            asked = self._ask("between")
            if not asked:
                break
            more, spent = self._do(asked)
            jobs, seconds = jobs + more, seconds + spent
        bytes_after, events_after = self._events()
        return Hour(tuple(jobs), seconds, bytes_after - bytes_before, events_after - events_before)

    def _do(self, asked: Sequence[Mapping[str, Any]]) -> tuple[list[str], float]:
        spent = 0.0
        for one in asked:
            arguments = ["-m", "dagster", "job", "execute", "-m", "promotion_pipeline.definitions", "-j", one["job"]]
            with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
                json.dump(one["config"], config)
                config.flush()
                arguments += ["--tags", json.dumps(one["tags"])]
                arguments += ["-c", config.name] if one["config"] else []
                spent += measured_process(arguments, self.environment, self.checkout).processor_seconds
        return [str(one["job"]) for one in asked], spent

    def _ask(self, *arguments: str) -> Any:
        return _answer(arguments, self.environment, self.checkout)

    def _events(self) -> tuple[int, int]:
        with connect(self.events_url) as connection:
            row = connection.execute(
                "SELECT coalesce(sum(octet_length(event)), 0) AS bytes, count(*) AS events FROM event_logs"
            ).fetchone()
        assert row is not None
        return int(row["bytes"]), int(row["events"])


def _answer(arguments: Sequence[str], environment: Mapping[str, str], checkout: Path) -> Any:
    command = [sys.executable, "-P", str(SIDE), *arguments]
    done = subprocess.run(command, env=dict(environment), cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DependencyError(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _side(server: EmbeddedServer, checkout: Path, name: str, mail: int, folder: Path) -> Side:
    for database in (name, f"{name}_dagster"):
        create_database(server.url("postgres"), database)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AUTO_PROMOTION_", "DAGSTER_"))}
    environment = kept | {
        "PYTHONPATH": str(checkout),
        "AUTO_PROMOTION_HOME": str(folder / name),
        "AUTO_PROMOTION_DATABASE_URL": server.url(name),
        "AUTO_PROMOTION_DAGSTER_DATABASE_URL": server.url(f"{name}_dagster"),
        "AUTO_PROMOTION_SMTP_HOST": "127.0.0.1",
        "AUTO_PROMOTION_SMTP_PORT": str(mail),
        "AUTO_PROMOTION_SMTP_STARTTLS": "false",
        "AUTO_PROMOTION_EMAIL_TO": "team@example.com",
        "OMP_NUM_THREADS": "1",
    }
    found = _answer(
        ["prepare", str(EXPERIMENTS), str(EXPERIMENTS * REQUESTS_EACH), str(HOURS + 1)], environment, checkout
    )
    whole, end = environment | found["environment"], datetime.fromisoformat(found["end"])
    return Side(checkout, whole, server.url(f"{name}_dagster"), end)


def report(beside: Path | None = None) -> str:
    """Print-ready lines; with another checkout, both and what this one needs of the other's."""
    checkouts = {"before": beside.resolve(), "after": HERE} if beside is not None else {"here": HERE}
    for checkout in checkouts.values():
        compileall.compile_dir(checkout / "promotion_pipeline", quiet=2)
    hours: dict[str, list[Hour]] = {name: [] for name in checkouts}
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder) / "server") as server,
        _mail_server() as mail,
    ):
        for turn in range(ROUNDS):
            sides = {
                name: _side(server, checkout, f"{name}_{turn}", mail, Path(folder))
                for name, checkout in checkouts.items()
            }
            for number in range(HOURS + 1):
                for name, side in sides.items():
                    hour = side.hour(side.end - (HOURS - number) * HOUR)
                    # The first also decides the two days before it.
                    hours[name] += [hour] if number else []
    return "\n".join([*_hour_lines(hours), *_load_lines(_loads(checkouts))])


def _loads(checkouts: Mapping[str, Path]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {name: [] for name in checkouts}
    for _ in range(LOADS):
        for name, checkout in checkouts.items():
            environment = {**os.environ, "PYTHONPATH": str(checkout)}
            found[name].append(measured_process(["-c", "import promotion_pipeline.definitions"], environment, checkout))
    return found


def _hour_lines(hours: Mapping[str, Sequence[Hour]]) -> list[str]:
    lines = [
        f"one hour with e-mail on, {EXPERIMENTS:,} experiments of 3 variants, {EXPERIMENTS * REQUESTS_EACH:,} new"
        f" requests, medians of {HOURS * ROUNDS} hours"
    ]
    for name, found in hours.items():
        jobs = ", ".join(found[-1].jobs)
        lines.append(
            f"  {name:7} {statistics.median(len(hour.jobs) for hour in found):g} processes,"
            f" {statistics.median(hour.processor_seconds for hour in found):.2f} s of a processor,"
            f" {statistics.median(hour.event_bytes for hour in found):,.0f} bytes in"
            f" {statistics.median(hour.events for hour in found):g} events: {jobs}"
        )
    if len(hours) == 2:
        before, after = hours.values()
        seconds, events = (
            statistics.median(getattr(hour, what) for hour in after)
            / statistics.median(getattr(hour, what) for hour in before)
            for what in ("processor_seconds", "event_bytes")
        )
        lines.append(f"  after needs {seconds:.2f} of the processor time and {events:.2f} of the bytes of before")
    return lines


def _load_lines(loads: Mapping[str, Sequence[Run]]) -> list[str]:
    return [f"the code location loaded by a process of its own, medians of {LOADS}"] + [
        f"  {name:7} {statistics.median(run.processor_seconds for run in found):.2f} s of a processor,"
        f" {statistics.median(run.seconds for run in found):.2f} s,"
        f" {statistics.median(run.peak_mb for run in found):,.0f} MB"
        for name, found in loads.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m promotion_pipeline.benchmark.hour",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout of the repository")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(f"{machine()}\n{report(chosen.beside)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
