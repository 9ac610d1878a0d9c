"""`python -m promotion_pipeline.benchmark [PART ...]`: all parts unless some are named; large ones only if named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from promotion_pipeline.benchmark import (
    applications,
    backfill,
    check,
    doors,
    evaluation,
    hourly,
    hourly_metrics,
    notifications,
    phases,
    rollup,
    stated,
    tick,
    traffic,
)
from promotion_pipeline.benchmark.measure import machine

PARTS: dict[str, Callable[[], str]] = {
    "evaluation": evaluation.report,
    "evaluation-metrics": stated.report,
    "hourly": hourly.report,
    "hourly-metrics": hourly_metrics.report,
    "tick": tick.report,
    "backfill": backfill.report,
    "rollup": rollup.report,
    "phases": phases.report,
    "check": check.report,
    "doors": doors.report,
    "applications": applications.report,
    "traffic": traffic.report,
    "notifications": notifications.report,
}
LARGE_PARTS: dict[str, Callable[[], str]] = {"tick-large": tick.report_large, "backfill-large": backfill.report_large}
"""With 10,000 experiments: a quarter of an hour, and more than an hour with 40 GB of disk."""


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts, all by default, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline.benchmark", description=__doc__)
    parser.add_argument(
        "part", nargs="*", choices=[[], *PARTS, *LARGE_PARTS], help="what to measure (default: all but the large)"
    )
    chosen = parser.parse_args(arguments).part or list(PARTS)
    sys.stdout.write(machine() + "\n")
    for part in chosen:
        sys.stdout.write((PARTS | LARGE_PARTS)[part]() + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
