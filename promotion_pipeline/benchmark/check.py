"""One check of one experiment: processor time, messages to the database, and the same with another version.

    python -m promotion_pipeline.benchmark check
    python -m promotion_pipeline.benchmark.check --base ../the-version-before

Each version runs in a process of its own against the same database and checks in turn with the other, a few checks at
a time, so that a busy machine meets both alike. Processor time is that of the process: Python and what it calls, not
the database.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from promotion_pipeline.benchmark.doors import seed_experiments
from promotion_pipeline.benchmark.measure import machine
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import open_store

EXPERIMENTS = 5
ROUNDS = 40
CHECKS_A_ROUND = 5
USERS = """
    UPDATE hourly_variant_rollups SET new_users = requests / 2, user_requests = requests,
        user_requests_sum_squares = 2 * requests, user_conversions = conversions,
        user_conversions_sum_squares = conversions, user_conversions_requests_sum_products = 2 * conversions"""
# It runs in versions that may know nothing of this module: only what all of them have is called.
CHILD = """
import sys, time
from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.pool import pooled
url, experiments, checks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store, number = pooled(Store(url, Settings())), 0
def check():
    global number
    number += 1
    return check_promotion_eligibility(f"bench-{1 + number % experiments}", store=store)
for _ in range(2 * experiments):
    answer = check()
print(answer.verdict, flush=True)
for _ in sys.stdin:
    used, begun = time.process_time(), time.perf_counter()
    for _ in range(checks):
        check()
    print((time.process_time() - used) / checks, (time.perf_counter() - begun) / checks, flush=True)
"""


@dataclass(frozen=True)
class CheckTimes:
    """Milliseconds of one check in each round."""

    processor_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]

    def __str__(self) -> str:
        """Least and median: on a machine that others use, the least says what the work is."""
        least, median = min(self.processor_ms), statistics.median(self.processor_ms)
        return (
            f"{least:6.1f} ms least, {median:6.1f} ms median   ({statistics.median(self.wall_ms):6.1f} ms on the clock)"
        )


def measure(versions: dict[str, Path], rounds: int = ROUNDS) -> dict[str, CheckTimes]:
    """Check in turn with each version, given where its package lies."""
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        seed_experiments(store, EXPERIMENTS)
        with store.connect() as connection:
            connection.execute(USERS)
            connection.execute("VACUUM (ANALYZE)")
        children = {name: _child(store.url, path) for name, path in versions.items()}
        try:
            for child in children.values():
                _line(child)
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in versions}
            for _ in range(rounds):
                for name, child in children.items():
                    times[name].append(_round(child))
        finally:
            for child in children.values():
                child.terminate()
                child.wait()
    return {
        name: CheckTimes(tuple(1e3 * used for used, _ in own), tuple(1e3 * wall for _, wall in own))
        for name, own in times.items()
    }


def _child(url: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, url, str(EXPERIMENTS), str(CHECKS_A_ROUND)]
    # Not from here: what lies in the working directory would come before the version that is asked for.
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(path.resolve())},
        cwd=path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _round(child: subprocess.Popen[str]) -> tuple[float, float]:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    used, wall = map(float, _line(child).split())
    return used, wall


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a version that is measured ended: see above")
    return line


def report(base: Path | None = None, rounds: int = ROUNDS) -> str:
    """Print-ready lines."""
    own = Path(__file__).parents[2]
    versions = {"this version": own} | ({} if base is None else {"the base": base})
    times = measure(versions, rounds)
    lines = [
        f"one check of one of {EXPERIMENTS} experiments, {rounds} rounds of {CHECKS_A_ROUND} checks, processor time"
    ]
    lines += [f"  {name:<14} {found}" for name, found in times.items()]
    if base is not None:
        before, after = (min(times[name].processor_ms) for name in ("the base", "this version"))
        lines.append(f"  the base is {before / after:.1f} times this version, by the least of each")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline.benchmark.check", description=__doc__)
    parser.add_argument("--base", type=Path, help="checkout of another version, to check in turn with")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    given = parser.parse_args()
    sys.stdout.write(f"{machine()}\n{report(given.base, given.rounds)}\n")


if __name__ == "__main__":
    main()
