"""`promote`, `approve`, `decline`, `rollback`, `release`, `history`."""

from __future__ import annotations

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, VariantSpec, seed_experiment, split_of


def test_promote_then_rollback_then_release_is_told_by_the_history(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    promoted = run("promote", "checkout", "--by", "maria", "--reason", "review", "--metadata", "ticket=P-1", "--json")
    assert promoted.code == 0
    assert promoted.data["promotion"]["promotedVariantName"] == "treatment"
    assert promoted.data["promotion"]["metadata"] == {"reason": "review", "ticket": "P-1"}
    assert promoted.data["eligibility"]["isEligible"] is True
    assert split_of(store, seeded) == {"control": 0, "treatment": 100}
    undone = run("rollback", "--yes", "checkout", "--reason", "it's broken", "--by", "oncall")
    assert undone.code == 0
    assert "control 50 %, treatment 50 %" in undone.out
    assert split_of(store, seeded) == {"control": 50, "treatment": 50}
    assert "0 promoted" in run("auto-check", "--by", "cron").err
    assert run("release", "checkout", "--by", "maria").code == 0
    history = run("history", "checkout", "--json").data
    assert history["count"] == 1
    assert history["latestPromotion"]["rollbackReason"] == "it's broken"
    assert history["latestPromotion"]["rolledBackBy"] == "oncall"
    assert "it's broken (oncall" in run("history", "checkout").out


def test_a_dry_run_changes_nothing(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    done = run("promote", "checkout", "--dry-run")
    assert (done.code, "Nothing changed" in done.err) == (0, True)
    assert split_of(store, seeded)["treatment"] == 50
    run("promote", "checkout", "--by", "maria")
    done = run("rollback", "--yes", "checkout", "--reason", "x", "--dry-run")
    assert (done.code, "control 50 %, treatment 50 %" in done.err) == (0, True)
    assert split_of(store, seeded)["treatment"] == 100


def test_what_is_not_eligible_exits_3_and_stays(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "banner", NO_DIFFERENCE)
    for arguments in (["promote", "banner", "--by", "maria"], ["promote", "banner", "--dry-run", "--json"]):
        done = run(*arguments)
        assert done.code == 3
        assert "95.00 %" in done.err
    assert split_of(store, seeded)["treatment"] == 50


def test_a_conflict_exits_4(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    assert run("rollback", "--yes", "checkout", "--reason", "x", "--by", "maria").code == 4
    assert run("release", "checkout", "--by", "maria").code == 4
    assert run("approve", "checkout", "--by", "maria").code == 4
    assert run("promote", "checkout", "--by", "maria").code == 0
    again = run("promote", "checkout", "--by", "maria")
    assert (again.code, again.out) == (4, "")


def test_rollback_to_control_sends_everything_there(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    run("promote", "checkout", "--by", "maria")
    assert run("rollback", "checkout", "--reason", "outage", "--to", "control", "--yes").code == 0
    assert split_of(store, seeded) == {"control": 100, "treatment": 0}
    assert run("rollback", "--yes", "checkout", "--reason", "x", "--to", "nowhere").code == 2


def test_approve_promotes_what_waits_and_decline_holds_it(store: Store, run: Run) -> None:
    approved = seed_experiment(store, "form", promotion_config={"require_manual_approval": True})
    declined = seed_experiment(store, "subject", UNPROVEN)
    assert "2 awaiting approval" in run("auto-check", "--by", "cron").err
    assert run("approve", "form", "--by", "maria", "--reason", "sound").code == 0
    assert split_of(store, approved)["treatment"] == 100
    assert run("decline", "subject", "--by", "maria", "--reason", "not now").code == 0
    assert split_of(store, declined)["treatment"] == 50
    assert "on hold: declined by maria: not now" in run("check", "subject").out


def test_a_hold_keeps_the_sweep_away_until_it_is_lifted(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    assert run("hold", "checkout", "--reason", "not now", "--by", "maria").code == 0
    assert "held" in run("auto-check", "--by", "cron").out
    assert split_of(store, seeded)["treatment"] == 50
    assert run("release", "checkout", "--by", "maria").code == 0
    assert "1 promoted" in run("auto-check", "--by", "cron").err


def test_verify_tells_a_record_that_follows_from_the_data(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    run("promote", "checkout", "--by", "maria")
    done = run("history", "checkout", "--verify")
    assert (done.code, "same" in done.out) == (0, True)
    assert run("history", "checkout", "--verify", "--json").data[0]["isSame"] is True
    assert run("history", "checkout", "--shadow", "--json").data["count"] == 0


def test_a_ramp_is_set_by_option(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    data = run("promote", "checkout", "--by", "maria", "--set", "ramp_steps=75,100", "--json").data
    assert data["promotion"]["state"] == "ramping"
    assert split_of(store, seeded) == {"control": 25, "treatment": 75}


def test_the_history_prints_the_metrics_that_the_winner_stood_at(store: Store, run: Run) -> None:
    latency = {"name": "latency", "kind": "request_mean", "column": "latency_ms", "role": "guardrail"}
    typo = {"name": "typo", "kind": "user_mean", "event": "purchsae", "role": "secondary"}
    seed_experiment(store, "checkout", promotion_config={"metrics": [latency, typo]})
    assert run("promote", "checkout", "--by", "maria", "--reason", "review", "--json").code == 0
    stored = run("history", "checkout", "--json").data["latestPromotion"]["snapshot"]["metrics"]
    assert [row["metric"] for row in stored] == ["latency", "typo"]
    said = run("history", "checkout").out
    assert "stood at:" in said
    assert "guardrail 'latency': " in said
    assert "secondary 'typo': " in said


def test_an_experiment_without_promotions_has_an_empty_history(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    assert run("history", "checkout", "--json").data == {
        "experimentName": "checkout",
        "history": [],
        "count": 0,
        "latestPromotion": None,
        "alarms": [],
        "events": [],
    }
    assert run("history", "chekout").code == 1


BROKEN = (
    VariantSpec("control", is_control=True, requests=12_000, conversions=1_200),
    VariantSpec("treatment", requests=8_000, conversions=1_100),
)


def test_a_broken_split_is_said_first_and_has_to_be_acknowledged(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout", BROKEN)
    checked = run("check", "checkout").out
    assert checked.index("THE NUMBERS CANNOT BE TRUSTED") < checked.index("passes all five checks")
    assert "cannot be trusted" in run("check").out
    refused = run("promote", "checkout", "--by", "maria", "--reason", "I like it")
    assert (refused.code, "--despite sample_ratio_mismatch" in refused.err) == (4, True)
    assert run("promote", "checkout", "--by", "maria", "--despite", "sample_ratio_mismatch").code == 2
    assert split_of(store, seeded)["treatment"] == 50
    despite = ("--despite", "sample_ratio_mismatch", "--reason", "the bot is known")
    done = run("promote", "checkout", "--by", "maria", *despite, "--json")
    assert done.code == 0
    assert done.data["promotion"]["metadata"] == {"reason": "the bot is known", "despite": ["sample_ratio_mismatch"]}


def test_an_approval_of_a_broken_split_has_to_be_acknowledged(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout", BROKEN)
    run("auto-check", "--by", "cron")
    assert run("approve", "checkout", "--by", "maria", "--reason", "fine").code == 4
    despite = ("--despite", "sample_ratio_mismatch", "--reason", "the bot is known")
    assert run("approve", "checkout", "--by", "maria", *despite).code == 0


def test_the_history_of_an_experiment_that_was_never_promoted_shows_what_happened(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    run("hold", "checkout", "--reason", "campaign", "--by", "anna")
    said = run("history", "checkout")
    assert said.code == 0
    assert "was never promoted" in said.err
    shown = " ".join(said.out.split())
    assert "anna" in shown and "put on hold" in shown and "campaign" in shown, shown
    (event,) = run("history", "checkout", "--json").data["events"]
    assert (event["actor"], event["action"], event["reason"]) == ("anna", "hold", "campaign")


def test_a_hold_says_how_it_is_lifted_with_the_name_as_one_types_it(store: Store, run: Run) -> None:
    seed_experiment(store, "check out")
    assert "promotion-pipeline release 'check out'` lifts it" in run("hold", "check out", "--reason", "campaign").out


def test_promoting_what_is_on_hold_is_said(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    run("hold", "checkout", "--reason", "campaign", "--by", "bob")
    done = run("promote", "checkout", "--by", "anna", "--set", "ramp_steps=75,100")
    said = " ".join(done.out.split())
    assert "although automatic promotion is on hold (held by bob: campaign)" in said
    assert "the hold stays; it does not pause this ramp" in said
