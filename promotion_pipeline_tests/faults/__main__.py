"""`python -m promotion_pipeline_tests.faults [PART ...]`: the fault campaign; prints its figures, exits 1 on a finding.

    python -m promotion_pipeline_tests.faults                       # all of it: 500 kills, 200 lost answers, 100 races
    python -m promotion_pipeline_tests.faults kills --seed 7        # one part, with the seed that a report names
    python -m promotion_pipeline_tests.faults --scale 0.1           # a tenth of everything

It starts a PostgreSQL of its own in a temporary folder, configured as in production, and ends it.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.faults.kills import kill_everywhere
from promotion_pipeline_tests.faults.lost_answers import lose_answers
from promotion_pipeline_tests.faults.outages import stop_the_server
from promotion_pipeline_tests.faults.races import race_rounds
from promotion_pipeline_tests.faults.subjects import CampaignServer
from promotion_pipeline_tests.faults.tally import Tally, table
from promotion_pipeline_tests.faults.ticks import tick_twice, tick_two_daemons

KILLS, LOSSES, UNMADE, ROUNDS, STOPS, TICKS, DAEMON_TICKS, DAEMON_KILLS = 500, 200, 44, 100, 20, 50, 10, 8

Part = Callable[[CampaignServer, random.Random, float], Tally]


def _stops(host: CampaignServer, rng: random.Random, scale: float) -> Tally:
    # A server of its own: stopping it must disturb no other part.
    with tempfile.TemporaryDirectory() as home:
        return stop_the_server(Path(home), rng, _scaled(STOPS, scale))


PARTS: dict[str, Part] = {
    "kills": lambda host, rng, scale: kill_everywhere(host, rng, _scaled(KILLS, scale), scale),
    "lost-answers": lambda host, rng, scale: lose_answers(host, rng, _scaled(LOSSES, scale), _scaled(UNMADE, scale)),
    "races": lambda host, rng, scale: race_rounds(host, rng, _scaled(ROUNDS, scale)),
    "stops": _stops,
    "ticks": lambda host, rng, scale: tick_twice(host, rng, _scaled(TICKS, scale)),
    "daemons": lambda host, rng, scale: tick_two_daemons(
        host, rng, _scaled(DAEMON_TICKS, scale), _scaled(DAEMON_KILLS, scale)
    ),
}


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts, all by default, and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m promotion_pipeline_tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", help=f"what to run, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of every choice made at random (default: 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full campaign (default: 1)")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.part if name not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    # Thousands of requests fail on purpose; what matters is in the figures.
    logging.getLogger("promotion_pipeline").setLevel(logging.CRITICAL + 1)
    begin = time.monotonic()
    tallies = _run(given.part or list(PARTS), given.seed, given.scale)
    findings = [line for tally in tallies for line in tally.lines()]
    figures = f"{table(tallies, given.seed)}\n{time.monotonic() - begin:.0f} seconds in all"
    sys.stdout.write("\n".join([figures, *findings]) + "\n")
    return int(bool(findings))


def _run(parts: list[str], seed: int, scale: float) -> list[Tally]:
    tallies = []
    with tempfile.TemporaryDirectory() as home, EmbeddedServer(Path(home)) as server:
        host = CampaignServer(server)
        for part in parts:
            sys.stderr.write(f"{part} ...\n")
            # Of its own for each part, so that a part alone does what it does in the whole.
            tallies.append(PARTS[part](host, random.Random(f"{part} {seed}"), scale))
    return tallies


if __name__ == "__main__":
    sys.exit(main())
