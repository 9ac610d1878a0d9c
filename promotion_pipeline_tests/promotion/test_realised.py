"""What came of promotions: which requests say it, when it is final, and what the programme's promises were worth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.ledger.ledger import LedgerEntry, read_ledger
from promotion_pipeline.promotion.ledger.measure import due_measurements, measure_realised
from promotion_pipeline.promotion.ledger.states import RealisedSource, RealisedState, Unmeasurable
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.test_ramp_and_watch import now
from promotion_pipeline_tests.seeding import (
    WINNER,
    Seeded,
    VariantSpec,
    add_requests,
    let_time_pass,
    seed_experiment,
)

HELD = {"holdbackPercent": 10, "holdbackDays": 2}
ALL_NOW = timedelta(0)


def later(store: Store, seeded: Seeded, hours: int, *variants: VariantSpec, requests_a_user: int | None = None) -> None:
    """Let hours go by, with these requests spread over them; None: they name no user."""
    let_time_pass(store, seeded, hours)
    end = now(store)
    for variant in variants:
        users = None if requests_a_user is None else variant.requests // requests_a_user
        add_requests(store, seeded, variant, start=end - timedelta(hours=hours), end=end, users=users)


def entry(store: Store, name: str = "x") -> LedgerEntry:
    measure_realised(store, every=ALL_NOW)
    return read_ledger(name, store=store).entries[0]


def rising(*values: float | None) -> bool:
    """Whether all are known and each is above the one before."""
    known = [value for value in values if value is not None]
    return len(known) == len(values) and known == sorted(set(known))


AFTER = (
    VariantSpec("control", requests=2_000, conversions=200),
    VariantSpec("treatment", requests=18_000, conversions=2_160),
)


def test_a_holdback_says_what_came_and_is_final_once_late_rows_had_their_time(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD, users=2_000)
    promote_winner("x", "auto", "sensor", store=store)
    later(store, seeded, 48, *AFTER, requests_a_user=4)
    found = entry(store)
    assert (found.state, found.source, found.held) == (RealisedState.MEASURING, RealisedSource.HOLDBACK, None)
    advance_ramp("x", "anna", store=store)
    later(store, seeded, 40, VariantSpec("treatment", requests=4_000, conversions=4_000))
    assert entry(store).state is RealisedState.MEASURING
    later(store, seeded, 12)
    found = entry(store)
    assert found.state is RealisedState.MEASURED
    assert (found.control_requests, found.winner_requests, found.analysis_unit) == (2_000, 18_000, "user")
    assert found.realised_lift == pytest.approx(0.2, abs=1e-9)
    assert rising(found.realised_lower, found.realised_lift, found.realised_upper)
    assert found.promised_lift == pytest.approx(0.3, abs=1e-9)
    assert rising(found.always_valid_lower, found.promised_lower, found.shrunken_lift, found.promised_lift)
    assert found.held is True
    assert due_measurements(store, every=ALL_NOW) == []
    assert measure_realised(store, every=ALL_NOW) == ()


def test_requests_that_come_late_still_count_until_it_is_final(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    later(store, seeded, 48, *AFTER)
    before = entry(store).control_requests
    assert before is not None
    end = now(store)
    late = VariantSpec("control", requests=500, conversions=100)
    add_requests(store, seeded, late, start=end - timedelta(hours=20), end=end - timedelta(hours=10))
    assert entry(store).control_requests == before + 500


def test_without_a_holdback_the_steps_of_a_ramp_say_it(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [80, 90, 100], "rampHoldHours": 24})
    promote_winner("x", "auto", "sensor", store=store)
    half = (
        VariantSpec("control", requests=1_000, conversions=100),
        VariantSpec("treatment", requests=4_000, conversions=480),
    )
    later(store, seeded, 24, *half)
    advance_ramp("x", "anna", store=store)
    later(store, seeded, 24, half[0], VariantSpec("treatment", requests=9_000, conversions=1_080))
    advance_ramp("x", "anna", store=store)
    later(store, seeded, 52)
    found = entry(store)
    assert (found.state, found.source) == (RealisedState.MEASURED, RealisedSource.RAMP)
    assert (found.control_requests, found.winner_requests) == (2_000, 13_000)
    assert found.realised_lift == pytest.approx(0.2, abs=1e-9)


def test_without_holdback_and_ramp_it_says_that_nothing_can_be_said(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promote_winner("x", "auto", "sensor", store=store)
    later(store, seeded, 52, VariantSpec("treatment", requests=18_000, conversions=2_160))
    found = entry(store)
    assert (found.state, found.reason) == (RealisedState.NOT_MEASURABLE, Unmeasurable.NO_TRAFFIC_ON_CONTROL)
    assert found.because is not None
    assert "holdback_percent" in found.because


def test_the_requests_that_had_not_matured_say_it_where_there_is_nothing_better(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"attributionWindowHours": 24})
    promote_winner("x", "auto", "sensor", store=store)
    later(store, seeded, 80)
    found = entry(store)
    assert (found.state, found.source, found.analysis_unit) == (RealisedState.MEASURED, RealisedSource.REST, "request")
    # A quarter of the 96 hours had not matured at the decision.
    assert (found.control_requests, found.winner_requests) == (2_500, 2_500)
    assert found.realised_lift == pytest.approx(0.3, abs=0.02)


def test_a_rollback_ends_the_holdback_and_its_outcome_counts_like_any_other(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    worse = (AFTER[0], VariantSpec("treatment", requests=18_000, conversions=1_440))
    later(store, seeded, 24, *worse)
    rollback_promotion("x", "worse", "anna", store=store)
    later(store, seeded, 52, VariantSpec("control", requests=5_000, conversions=5_000))
    found = entry(store)
    assert (found.state, found.source, found.held) == (RealisedState.MEASURED, RealisedSource.HOLDBACK, False)
    assert found.realised_lift == pytest.approx(-0.2, abs=1e-9)
    ledger = read_ledger(store=store)
    shrunken = next(record for record in ledger.programme if record.promise == "shrunken")
    assert (shrunken.promotions, shrunken.held) == (1, 0)
    assert found.shrunken_lift is not None
    assert shrunken.came_true == pytest.approx(-0.2 / found.shrunken_lift)


def test_an_empty_ledger_is_a_ledger(store: Store) -> None:
    ledger = read_ledger(store=store)
    assert (ledger.entries, ledger.measured) == ((), 0)
    assert [record.promotions for record in ledger.programme] == [0, 0]


def test_a_holdback_whose_split_is_not_the_decided_one_says_nothing(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    later(store, seeded, 24, AFTER[0], VariantSpec("treatment", requests=6_000, conversions=720))
    advance_ramp("x", "anna", store=store)
    later(store, seeded, 52)
    found = entry(store)
    assert (found.state, found.reason) == (RealisedState.NOT_MEASURABLE, Unmeasurable.BROKEN_SPLIT)
    assert found.control_requests == 2_000


def test_a_log_that_cannot_be_read_leaves_what_is_known_and_stops_nobody_else(store: Store, tmp_path: Path) -> None:
    for name in ("x", "y"):
        seeded = seed_experiment(store, name, WINNER, promotion_config=HELD)
        promote_winner(name, "auto", "sensor", store=store)
        later(store, seeded, 24, *AFTER)
    before = entry(store)
    gone = tmp_path / "source.toml"
    gone.write_text('engine = "duckdb"\nfiles = "/nowhere/*.parquet"\n')
    deaf = Store(store.url, store.settings.model_copy(update={"source": gone}))
    assert measure_realised(deaf, every=ALL_NOW) == ()
    after = read_ledger("x", store=store).entries[0]
    assert (after.state, after.realised_lift) == (before.state, before.realised_lift)
    assert len(due_measurements(deaf, every=ALL_NOW)) == 2
