"""`python -m promotion_pipeline_tests.hostile`: hostile experiments, rows, thresholds and dates beside sound ones.

    python -m promotion_pipeline_tests.hostile                        # 10,000 examples, 100 in a database at a time
    python -m promotion_pipeline_tests.hostile --examples 500 --each 50

Each round goes through every door and compares what is left of the sound experiments bit for bit with what is left
when they are alone. It starts a PostgreSQL of its own in a temporary folder and ends it; exits 1 on a finding.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from promotion_pipeline.config import Settings
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import FAST_AND_UNSAFE
from promotion_pipeline_tests.hostile.rounds import HostileRounds, draw, run_rounds
from promotion_pipeline_tests.hostile.world import SCHEMA


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=100, help="hostile experiments beside each other")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    begin = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder), server_settings=FAST_AND_UNSAFE) as server,
    ):
        create_database(server.url("postgres"), SCHEMA)
        migrate.upgrade(server.url(SCHEMA))
        rounds = HostileRounds(server, Settings(home=Path(folder)), SCHEMA)
        try:
            for done in range(0, chosen.examples, chosen.each):
                run_rounds(rounds, draw(min(chosen.each, chosen.examples - done)), chosen.each)
                sys.stderr.write(f"{rounds.drawn:,} examples, {time.perf_counter() - begin:.0f} s\n")
        except AssertionError as error:
            sys.stdout.write(f"found after {rounds.drawn:,} examples: {str(error)[:5000]}\n")
            return 1
    sys.stdout.write(
        f"{rounds.drawn:,} hostile experiments ({rounds.written:,} taken by the database,"
        f" {rounds.requests:,} requests), {chosen.each} at a time beside 4 sound ones:"
        f" nobody else affected, no traceback; {time.perf_counter() - begin:.0f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
