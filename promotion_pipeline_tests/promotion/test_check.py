"""The check through the API: every kind of experiment gets a clear answer, and never a crash."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from promotion_pipeline import (
    ConfigError,
    InputError,
    NotFoundError,
    auto_check_promotions,
    check_promotion_eligibility,
    promote_winner,
    rollback_promotion,
)
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, WINNER, VariantSpec, count, seed_experiment

CONTROL = VariantSpec("control", is_control=True, requests=2_000, conversions=200)
OTHER = VariantSpec("other", requests=2_000, conversions=300)
ODD = {
    "no control": ([VariantSpec("a", requests=2_000, conversions=200), OTHER], "inconclusive", "no variant is marked"),
    "two controls": ([CONTROL, VariantSpec("c2", True, 50, 2_000, 300)], "error", "more than one variant"),
    "one variant": ([VariantSpec("control", True, 100, 2_000, 200)], "inconclusive", "no treatment"),
    "no variants": ([], "inconclusive", "no variants"),
    "bad split": ([CONTROL, VariantSpec("t", False, 40, 2_000, 300)], "inconclusive", "sum to 100"),
    "no rows": ([VariantSpec("control", True), VariantSpec("t")], "inconclusive", "no request"),
    "silent variant": ([CONTROL, VariantSpec("t")], "inconclusive", "no requests"),
    "nobody converts": (
        [VariantSpec("control", True, 50, 2_000), VariantSpec("t", False, 50, 2_000)],
        "inconclusive",
        "",
    ),
    "control rate zero": ([VariantSpec("control", True, 50, 2_000, 0), OTHER], "inconclusive", "control has no conv"),
}


def test_odd_experiments_are_judged_with_a_reason(store: Store) -> None:
    for kind, (variants, verdict, said) in ODD.items():
        seed_experiment(store, kind, variants)
        eligibility = check_promotion_eligibility(kind, store=store)
        assert (eligibility.verdict.value, eligibility.is_eligible, eligibility.winner) == (verdict, False, None), kind
        assert said in "; ".join(eligibility.reasons), kind
        json.dumps(eligibility.to_json(), allow_nan=False)


def test_one_odd_experiment_stops_no_other(store: Store) -> None:
    for kind, (variants, _, _) in ODD.items():
        seed_experiment(store, kind, variants)
    seed_experiment(store, "bad config", WINNER, promotion_config={"minSampelSize": 5})
    seed_experiment(store, "winner", WINNER)
    result = auto_check_promotions("cron", store=store)
    outcomes = {entry.experiment_name: entry.outcome.value for entry in result.results}
    assert (result.checked, result.promoted, result.failed) == (len(ODD) + 2, 1, 2)
    assert outcomes["winner"] == "promoted"
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == {"two controls", "bad config"}
    assert "did you mean" in "; ".join(
        entry.message for entry in result.results if entry.experiment_name == "bad config"
    )


def test_a_promotion_config_that_is_no_object_is_an_error_of_that_experiment(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    for bad in (["list"], "text", 7):
        with store.connect() as connection:
            connection.execute("UPDATE ab_experiments SET promotion_config = %s::jsonb", [json.dumps(bad)])
        assert check_promotion_eligibility("x", store=store).verdict.value == "error"
        with pytest.raises(ConfigError, match="promotion_config of 'x'"):
            promote_winner("x", "manual", "anna", store=store)


def test_names_with_quotes_blanks_and_other_scripts_work_through_the_whole_life(store: Store) -> None:
    for name in ('it\'s "quoted"; DROP TABLE x;--', "größe ✓ 実験", "two words ", "a/b?c=d#e", "%s {x}"):
        seed_experiment(store, name, WINNER)
        assert check_promotion_eligibility(name, store=store).experiment_name == name
        assert promote_winner(name, "auto", "Jürgen O'Neil", store=store).experiment_name == name
        assert rollback_promotion(name, "é'\"%s", "Jürgen", store=store).rollback_reason == "é'\"%s"


def test_an_unknown_name_is_answered_with_the_closest(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there are no experiments yet"):
        check_promotion_eligibility("x", store=store)
    seed_experiment(store, "checkout-button", NO_DIFFERENCE)
    with pytest.raises(NotFoundError, match=r"'Checkout-Buton'; did you mean 'checkout-button'\?"):
        check_promotion_eligibility("Checkout-Buton", store=store)
    with pytest.raises(NotFoundError, match="known are 'checkout-button'"):
        check_promotion_eligibility("zzz", store=store)


def test_the_closest_names_are_found_among_more_than_are_compared(store: Store, connection: Connection) -> None:
    connection.execute("INSERT INTO ab_experiments (name) SELECT 'aa-' || n FROM generate_series(1, 300) AS n")
    connection.execute("INSERT INTO ab_experiments (name) VALUES ('zz-Checkout-button')")
    with pytest.raises(NotFoundError, match=r"did you mean 'zz-Checkout-button'\?"):
        check_promotion_eligibility("zz-chekcout-buton", store=store)
    for nothing_like_it in ("q", "%s{}"):
        with pytest.raises(NotFoundError, match="known are 'aa-1', 'aa-10'"):
            check_promotion_eligibility(nothing_like_it, store=store)


def test_an_experiment_that_starts_in_the_future_has_not_started(store: Store) -> None:
    start = datetime.now(UTC) + timedelta(days=2)
    seed_experiment(store, "x", [VariantSpec("control", True), VariantSpec("t")], start=start)
    assert check_promotion_eligibility("x", store=store).reason_codes == ("not_started",)


def test_the_as_of_needs_a_zone_is_floored_and_is_not_in_the_future(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    with pytest.raises(InputError, match="no time zone"):
        check_promotion_eligibility("x", as_of=datetime(2026, 1, 1), store=store)  # noqa: DTZ001
    with pytest.raises(InputError, match="in the future"):
        check_promotion_eligibility("x", as_of=datetime.now(UTC) + timedelta(hours=2), store=store)
    past = check_promotion_eligibility("x", as_of=seeded.start + timedelta(hours=24, minutes=59), store=store)
    assert past.as_of == seeded.start + timedelta(hours=24)
    assert past.runtime_hours == 24
    assert [v.requests for v in past.variants] == [2_500, 2_500]
    assert not past.safety_checks.min_runtime


def test_a_past_as_of_sees_the_experiment_as_it_ran_then(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    before = check_promotion_eligibility("x", as_of=seeded.end, store=store)
    promote_winner("x", "manual", "anna", store=store)
    assert check_promotion_eligibility("x", as_of=seeded.end, store=store) == before
    assert "not running" in check_promotion_eligibility("x", store=store).reasons[0]
    long_ago = check_promotion_eligibility("x", as_of=seeded.start - timedelta(days=9), store=store)
    assert "was not running at" in long_ago.reasons[0]


def test_checking_writes_nothing(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    check_promotion_eligibility("x", store=store)
    for table in ("eligibility_decisions", "experiment_promotions", "promotion_audit", "notification_outbox"):
        assert count(store, f"SELECT count(*) FROM {table}") == 0


def test_the_answer_carries_everything_that_the_http_contract_names(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    data = check_promotion_eligibility("x", store=store).to_json()
    named = "experimentName isEligible winner winnerVariantId confidence improvement reasons warnings safetyChecks"
    assert set(named.split()) | {"verdict", "asOf", "evidence", "checks"} <= data.keys()
    assert list(data["safetyChecks"])[:5] == [
        "minSampleSize",
        "minConfidence",
        "minImprovement",
        "minRuntime",
        "errorRateAcceptable",
    ]
    assert all(
        {"name", "passed", "observed", "threshold", "unit", "message"} == check.keys() for check in data["checks"]
    )
    assert data["evidence"]["withheld"] == ["evidence"]
    assert data["asOf"].endswith("Z")


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2025-03-29T12:00+01:00", "2025-03-31T12:00+02:00", 47),
        ("2025-10-25T12:00+02:00", "2025-10-27T12:00+01:00", 49),
    ],
)
def test_runtime_counts_real_hours_over_both_dst_edges(store: Store, start: str, end: str, hours: int) -> None:
    until = datetime.fromisoformat(end)
    seed_experiment(store, "x", WINNER, start=datetime.fromisoformat(start), end=until)
    for zone in ("Europe/Berlin", "America/New_York", "UTC"):
        with store.connect() as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = '{zone}'")
        eligibility = check_promotion_eligibility("x", as_of=until, store=store)
        assert eligibility.runtime_hours == hours, zone
        assert eligibility.safety_checks.min_runtime == (hours >= 48)
