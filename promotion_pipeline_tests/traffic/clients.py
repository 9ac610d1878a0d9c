"""`python -m promotion_pipeline_tests.traffic.clients --keys 100000` asks unmodified clients for every user's variant.

OpenFeature's clients for Python and for JavaScript ask `promotion-pipeline serve`; flagd's providers for both languages
read the file that `traffic export` writes. Before the promotion, at its first step (one of three arms from 33 to 70 %)
and after the rollback. The test suite runs a short version.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.config import FlagHash, Settings
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.traffic.export import export_flags
from promotion_pipeline.traffic.serving import read_flags
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment
from promotion_pipeline_tests.traffic.outside import ask_flagd, ask_node

EXPERIMENT, FLAG, WINNER = "checkout", "checkout-button", "blue"
ARMS = (
    VariantSpec("control", is_control=True, traffic="33.34", requests=10_000, conversions=1_000),
    VariantSpec("blue", traffic="33.33", requests=10_000, conversions=1_300),
    VariantSpec("green", traffic="33.33", requests=10_000, conversions=1_000),
)
SHARES = {"control": 0.3334, "blue": 0.3333, "green": 0.3333}
RAMPED = {"control": 0.15, "blue": 0.70, "green": 0.15}
"""The two that do not win keep their proportions, to a hundredth of a percent."""
STANDARD_ERRORS = 3
START_SECONDS = 60


@dataclass(frozen=True)
class Door:
    """Where clients find the flag."""

    url: str
    token: str
    file: Path
    """The definition for flagd."""


Ask = Callable[[Door, Sequence[str]], list[str]]


def by_python(door: Door, users: Sequence[str]) -> list[str]:
    """OpenFeature's client for Python with its OFREP provider."""
    headers = {"Authorization": f"Bearer {door.token}"}
    openfeature.set_provider(OFREPProvider(door.url, headers_factory=lambda: headers), "clients")
    client = openfeature.get_client("clients")

    def variant(user: str) -> str:
        return client.get_string_value(FLAG, "default", EvaluationContext(targeting_key=user))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(variant, users))


def by_javascript(door: Door, users: Sequence[str]) -> list[str]:
    """OpenFeature's client for Node with its OFREP provider."""
    return ask_node("ofrep", {"url": door.url, "token": door.token, "flag": FLAG}, users)


def by_flagd_of_python(door: Door, users: Sequence[str]) -> list[str]:
    """flagd's provider for Python in file mode."""
    return ask_flagd({"file": str(door.file), "flag": FLAG}, users)


def by_flagd_of_javascript(door: Door, users: Sequence[str]) -> list[str]:
    """flagd's provider for Node in file mode."""
    return ask_node("flagd", {"file": str(door.file), "flag": FLAG}, users)


ASKED: Mapping[str, Ask] = {"OFREP from Python": by_python, "OFREP from JavaScript": by_javascript}
FROM_FILE: Mapping[FlagHash, tuple[str, Ask]] = {
    FlagHash.CBOR: ("flagd's Python provider from a file", by_flagd_of_python),
    FlagHash.TEXT: ("flagd's JavaScript provider from a file", by_flagd_of_javascript),
}
"""Which of flagd's providers hashes so today."""


def users_of(keys: int) -> list[str]:
    """So many users."""
    return [f"user-{number}" for number in range(keys)]


def seed(store: Store) -> None:
    """Three arms behind one flag, the winner of which is promoted in two steps."""
    seeded = seed_experiment(store, EXPERIMENT, ARMS, promotion_config={"ramp_steps": [70, 100]})
    target = Jsonb({"kind": "ofrep", "flag": FLAG})
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE id = %s", [target, seeded.id])


def write_file(store: Store, file: Path) -> None:
    """What `traffic export` writes."""
    with store.connect() as connection:
        export_flags(read_flags(connection), file)


def wait_for(door: Door, standing: str) -> None:
    """Until the door has seen where the experiment stands: it looks at the database every second."""
    headers = {"Authorization": f"Bearer {door.token}"}
    body = {"context": {"targetingKey": "anybody"}}
    deadline = time.monotonic() + START_SECONDS
    while True:
        answer = httpx2.post(f"{door.url}/ofrep/v1/evaluate/flags/{FLAG}", headers=headers, json=body).json()
        if answer.get("metadata", {}).get("standing") == standing:
            return
        assert time.monotonic() < deadline, f"{answer} never became {standing}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Found:
    """What every client said of every user, at each stage."""

    before: Mapping[str, list[str]]
    """Who was asked -> the users' variants."""
    ramped: Mapping[str, list[str]]
    back: Mapping[str, list[str]]

    @property
    def differing(self) -> int:
        """Users of whom not everybody says the same, at any stage."""
        return sum(
            len(set(said)) > 1
            for stage in (self.before, self.ramped, self.back)
            for said in zip(*stage.values(), strict=True)
        )

    @property
    def moved(self) -> Counter[tuple[str, str]]:
        """(from, to) -> users that the first step moved, by the first who was asked."""
        pairs = zip(_first(self.before), _first(self.ramped), strict=False)
        return Counter(pair for pair in pairs if pair[0] != pair[1])

    @property
    def misplaced(self) -> int:
        """Users who are not back where they were."""
        return sum(was != now for was, now in zip(_first(self.before), _first(self.back), strict=False))

    @property
    def furthest(self) -> float:
        """Of every variant's share from the split that was decided, before and at the first step; standard errors."""
        return max(
            standard_errors(said, shares)
            for stage, shares in ((self.before, SHARES), (self.ramped, RAMPED))
            for said in stage.values()
        )


def standard_errors(said: Sequence[str], shares: Mapping[str, float]) -> float:
    """How far the shares are from those, at most, in standard errors; somebody who got no variant is infinitely far."""
    counts, users = Counter(said), len(said)
    if counts.keys() - shares.keys():
        return float("inf")
    return max(
        abs(counts[name] - share * users) / math.sqrt(users * share * (1 - share)) for name, share in shares.items()
    )


def ask_all(
    store: Store, door: Door, users: Sequence[str], asked: Mapping[str, Ask], moving: int | None = None
) -> Found:
    """Ask before, at the first step, and after the rollback; the experiment must be seeded.

    Args:
        moving: how many of the users are asked after the first time; None: all.
    """
    stages = [_stage(store, door, users, asked, "running")]
    promote_winner(EXPERIMENT, "manual", "maria", store=store)
    stages.append(_stage(store, door, users[:moving], asked, "ramping"))
    rollback_promotion(EXPERIMENT, "errors", "maria", store=store)
    stages.append(_stage(store, door, users[:moving], asked, "rolled_back"))
    return Found(*stages)


def _stage(
    store: Store, door: Door, users: Sequence[str], asked: Mapping[str, Ask], standing: str
) -> dict[str, list[str]]:
    wait_for(door, standing)
    write_file(store, door.file)
    return {name: ask(door, users) for name, ask in asked.items()}


def _first(stage: Mapping[str, list[str]]) -> list[str]:
    return next(iter(stage.values()))


@contextmanager
def served(environment: Mapping[str, str]) -> Iterator[str]:
    """`promotion-pipeline serve` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "promotion_pipeline.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        try:
            while not _answers(url):
                assert server.poll() is None, "serve ended before it answered"
                assert time.monotonic() < deadline, f"serve does not answer after {START_SECONDS} s"
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health").is_success
    except httpx2.HTTPError:
        return False


def main() -> None:
    """Run it on a server of its own for both hashes, print what was found, and end with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--moving", type=int, default=10_000, help="of them asked at the later stages too")
    parser.add_argument("--hash", choices=list(FlagHash), action="append", help="default: both, one after the other")
    given = parser.parse_args()
    users, is_well = users_of(given.keys), True
    with TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        server = stack.enter_context(EmbeddedServer(Path(folder)))
        for flag_hash in map(FlagHash, given.hash or FlagHash):
            name, ask = FROM_FILE[flag_hash]
            create_database(server.url("postgres"), flag_hash.value)
            url = server.url(flag_hash.value)
            migrate.upgrade(url)
            store = Store(url, Settings(home=Path(folder), database_url=SecretStr(url)))
            seed(store)
            token = create_token(store, "clients", Role.EVALUATE, "clients")[0]
            known = {"DATABASE_URL": url, "HOME": folder, "FLAG_HASH": flag_hash.value}
            environment = {**os.environ, **{f"AUTO_PROMOTION_{key}": value for key, value in known.items()}}
            with served(environment) as address:
                door = Door(address, token, Path(folder) / f"{flag_hash.value}.json")
                is_well &= _told(flag_hash, users, ask_all(store, door, users, {**ASKED, name: ask}, given.moving))
    raise SystemExit(0 if is_well else 1)


def _told(flag_hash: FlagHash, users: Sequence[str], found: Found) -> bool:
    """Print it; whether it is as it must be."""
    print(f"AUTO_PROMOTION_FLAG_HASH={flag_hash}: {len(users):,} users, asked of {', '.join(found.before)}")
    for stage, said in (("before", found.before), ("first step", found.ramped), ("rolled back", found.back)):
        print(f"  {stage}: {dict(sorted(Counter(_first(said)).items()))}")
    between = sum(count for (_, to), count in found.moved.items() if to != WINNER)
    print(f"  furthest from the split decided: {found.furthest:.2f} standard errors")
    print(f"  users of whom not all say the same: {found.differing}")
    print(f"  moved by the step: {sum(found.moved.values())}, of them between losing arms: {between}")
    print(f"  not back where they were: {found.misplaced}", flush=True)
    return found.furthest < STANDARD_ERRORS and not found.differing and not between and not found.misplaced


if __name__ == "__main__":
    main()
