"""Times and numbers that no machine counts with are usage errors, never tracebacks."""

from __future__ import annotations

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import seed_experiment

LONG = "9" * 400


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "checkout", "--as-of", "0001-01-01T00:00Z"),
        ("check", "checkout", "--as-of", "0001-01-01T00:00+14:00"),
        ("check", "checkout", "--as-of", "9999-12-31T23:00-14:00"),
        ("evaluate", "--from", "0001-01-01T00:00Z"),
        ("evaluate", "--from", "2026-01-01T00:00Z", "--to", "9999-12-31T23:00Z"),
        ("check", "checkout", "--min-sample-size", LONG),
        ("check", "checkout", "--min-sample-size", "9" * 5_000),
        ("check", "checkout", "--min-confidence-level", LONG),
        ("check", "checkout", "--set", f"planned_sample_size={LONG}"),
        ("auto-check", "--min-improvement-percent", LONG, "--dry-run"),
        ("db", "drop-requests", "--keep-days", LONG),
        ("tokens", "create", "ci", "--role", "viewer", "--expires-in-days", LONG),
    ],
)
def test_what_cannot_be_counted_with_is_a_usage_error(store: Store, run: Run, arguments: tuple[str, ...]) -> None:
    seed_experiment(store, "checkout")
    done = run(*arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert len(done.err) < 2_500
