"""`python -m promotion_pipeline_tests.orchestration.composed`: what `deploy/compose/compose.yaml` starts, on this host.

Reads the file and runs its very commands on this host, in the order of `depends_on`, against a PostgreSQL of its own:
only the names of hosts, the ports and the paths differ. A service is up when its own health check says so. Then the
commands that the file's first lines name are tried, and everything is ended. Two minutes.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.orchestration.instance import default_config
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
PORTS = ("4266", "3000", "8000")
DATABASE = "postgres"
"""The service that a server of our own stands for."""
TRIED = (
    ("promotion-pipeline", "tokens", "create", "maria", "--role", "operator"),
    ("promotion-pipeline", "doctor"),
    ("promotion-pipeline", "check"),
)
PATIENCE_SECONDS = 180.0


def services() -> dict[str, Any]:
    """The services of the file, by name."""
    read: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return read


def starting_order(given: Mapping[str, Any]) -> list[str]:
    """Names of the services without a profile, each after what it depends on."""
    left = {name: one for name, one in given.items() if name != DATABASE and "profiles" not in one}
    order: list[str] = []
    while left:
        ready = [name for name, one in left.items() if set(one.get("depends_on", {})) <= {DATABASE, *order}]
        assert ready, f"depends_on goes in a circle: {sorted(left)}"
        order += ready
        left = {name: one for name, one in left.items() if name not in ready}
    return order


@dataclass(frozen=True)
class Host:
    """One machine in the place of all containers."""

    folder: Path
    database: str
    ports: Mapping[str, str]
    """Of the host, by the container's."""

    def here(self, text: str) -> str:
        """A word of a command, an address or a file as it reads on this host."""
        text = text.replace("/etc/promotion-pipeline", str(self.folder)).replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"^( *host: )code$", r"\g<1>127.0.0.1", text, flags=re.MULTILINE)
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self.ports[found[1]], text)

    def command(self, words: list[str]) -> list[str]:
        """A command, with the programs that are beside this Python."""
        first, *rest = words
        return [str(Path(sys.executable).with_name(first)), *map(self.here, rest)]

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """What a service's processes see: of ours no more than where programs and modules are."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        given = {name: self.here(value) for name, value in service["environment"].items()}
        image = {"DAGSTER_HOME": str(self.folder), "AUTO_PROMOTION_HOME": str(self.folder / "home")}
        return kept | given | image | {"AUTO_PROMOTION_DATABASE_URL": self.database}

    def log(self, name: str) -> Path:
        """What a service printed."""
        return self.folder / f"{name}.log"

    def run(self, service: Mapping[str, Any], words: list[str]) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        environment = self.environment(service)
        return subprocess.run(
            self.command(words),
            env=environment,
            cwd=self.folder,
            text=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """A PostgreSQL with the empty database of the file, and a folder with what the image and the mounts hold."""
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "server") as server:
        create_database(server.url("postgres"), "app")
        one = Host(Path(name), server.url("app"), dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
        (one.folder / "dagster.yaml").write_text(default_config(), encoding="utf-8")
        workspace = (COMPOSE / "workspace.yaml").read_text(encoding="utf-8")
        (one.folder / "workspace.yaml").write_text(one.here(workspace), encoding="utf-8")
        yield one


def free_ports(count: int) -> list[str]:
    """Ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]


def say(text: str) -> None:
    """A line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def up(stack: contextlib.ExitStack, one: Host, name: str, service: Mapping[str, Any]) -> None:
    """Start a service and wait until it is healthy, or has ended if it is to end.

    Raises:
        AssertionError: it is not within three minutes.
    """
    begun = time.monotonic()
    command, environment = one.command(service["command"]), one.environment(service)
    process = stack.enter_context(process_group(command, environment, one.folder, one.log(name)))
    if service.get("restart") == "no":
        code, state = process.wait(PATIENCE_SECONDS), "done"
        assert code == 0, one.log(name).read_text(encoding="utf-8")
    else:
        probe, state = service["healthcheck"]["test"][1:], "healthy"
        while one.run(service, probe).returncode:
            late = process.poll() is not None or time.monotonic() > begun + PATIENCE_SECONDS
            assert not late, f"{name} is not healthy: {one.log(name).read_text(encoding='utf-8')}"
            time.sleep(1)
    say(f"{time.monotonic() - begun:6.1f} s  {name} {state}: {' '.join(service['command'])}")


def main() -> int:
    """Start everything, try it, end everything."""
    given = services()
    with host() as one, contextlib.ExitStack() as stack:
        for name in starting_order(given):
            up(stack, one, name, given[name])
        for words in [*map(list, TRIED), given["prune"]["command"]]:
            ended = one.run(given["api"], words)
            say(f"$ {' '.join(words)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}".rstrip())
        for name in given.keys() - {DATABASE, "prune", "schema"}:
            lines = [line for line in one.log(name).read_text(encoding="utf-8").splitlines() if "ERROR" in line]
            say(f"{name}: {len(lines)} lines of errors" + "".join(f"\n  {line}" for line in lines[:5]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
