"""`check` and `auto-check`."""

from __future__ import annotations

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run, spawn
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, seed_experiment, split_of

CHECK_NAMES = {"minSampleSize", "minConfidence", "minImprovement", "minRuntime", "errorRateAcceptable"}
NAMES = ["reality-lens-v2", 'it\'s "quoted"', "größe der Karte", "испытание; DROP TABLE", "-starts-with-a-dash"]


def test_an_eligible_experiment_exits_0_and_shows_both_numbers_of_each_check(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    done = run("check", "checkout")
    assert done.code == 0
    assert "checkout: eligible" in done.out
    assert "10,000 requests >= 1,000 requests" in done.out
    assert "30.00 % >= 5.00 %" in done.out
    assert "promote checkout" in done.err


def test_an_experiment_that_is_not_eligible_exits_3_with_its_data_on_stdout(store: Store, run: Run) -> None:
    seed_experiment(store, "banner", NO_DIFFERENCE)
    done = run("check", "banner", "--json")
    assert done.code == 3
    assert done.err == ""
    assert done.data["isEligible"] is False
    assert done.data["winner"] is None


def test_json_has_the_shape_of_the_http_api(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    data = run("check", "checkout", "--json").data
    assert data["experimentName"] == "checkout"
    assert data["winner"] == "treatment"
    assert data["winnerVariantId"] == str(seeded.variant_ids["treatment"])
    assert data["improvement"] == pytest.approx(30.0)
    assert set(data["safetyChecks"]) == CHECK_NAMES
    assert all(data["safetyChecks"].values())
    assert {"confidence", "reasons", "warnings", "verdict", "asOf", "evidence", "checks"} <= set(data)


@pytest.mark.parametrize("name", NAMES)
def test_names_may_hold_anything(store: Store, run: Run, name: str) -> None:
    seed_experiment(store, name)
    assert run("check", "--json", "--", name).data["experimentName"] == name


def test_without_a_name_every_running_experiment_is_listed(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    seed_experiment(store, "banner", NO_DIFFERENCE)
    done = run("check")
    assert done.code == 0
    assert "checkout" in done.out
    assert "banner" in done.out
    assert [entry["experimentName"] for entry in run("check", "--json").data] == ["banner", "checkout"]


def test_an_unknown_experiment_exits_1_and_names_the_close_one(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout-button")
    done = run("check", "chekout-button")
    assert (done.code, done.out) == (1, "")
    assert "did you mean 'checkout-button'?" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "eligible"),
    [
        (["--min-improvement-percent", "40"], False),
        (["--min-sample-size", "20000"], False),
        (["--min-confidence-level", "99.9"], True),
        (["--min-runtime-hours", "200"], False),
        (["--max-error-rate", "0.001"], False),
        (["--set", "planned_sample_size=20000"], True),
    ],
)
def test_threshold_options_override_the_defaults(store: Store, run: Run, options: list[str], eligible: bool) -> None:
    seed_experiment(store, "checkout")
    assert run("check", "checkout", *options).code == (0 if eligible else 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-error-rate", "5"], "0.05"),
        (["--min-confidence-level", "0.95"], "write 95"),
        (["--set", "min_sample=5"], "did you mean"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--evidence", "always"], "always_valid"),
        (["--as-of", "2026-03-01T12:00"], "time zone"),
        (["--as-of", "yesterday"], "2026-03-01T12:00Z"),
        (["--as-of", "2999-01-01T00:00Z"], "future"),
    ],
)
def test_a_bad_value_exits_2_and_says_what_to_write(store: Store, run: Run, options: list[str], said: str) -> None:
    seed_experiment(store, "checkout")
    done = run("check", "checkout", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_auto_check_promotes_asks_and_leaves_alone(store: Store, run: Run) -> None:
    winner = seed_experiment(store, "checkout")
    unproven = seed_experiment(store, "subject", UNPROVEN)
    seed_experiment(store, "banner", NO_DIFFERENCE)
    assert run("auto-check", "--dry-run").code == 0
    assert split_of(store, winner)["treatment"] == 50
    data = run("auto-check", "--by", "cron", "--json").data
    assert (data["checked"], data["promoted"], data["awaitingApproval"], data["failed"]) == (3, 1, 1, 0)
    assert split_of(store, winner)["treatment"] == 100
    assert split_of(store, unproven)["treatment"] == 50
    again = run("auto-check", "--by", "cron")
    assert again.code == 0
    assert "0 promoted" in again.err


def test_a_process_of_its_own_separates_data_from_the_rest(store: Store, store_environment: dict[str, str]) -> None:
    seed_experiment(store, "checkout")
    done = spawn("check", "checkout", "--json", environment=store_environment)
    assert done.code == 0
    assert done.data["isEligible"] is True
    assert done.err == ""
