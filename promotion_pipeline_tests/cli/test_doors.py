"""What a command says is what is so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from promotion_pipeline.cli.dev import links_to, only_one
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.history.overview import experiment_overview
from promotion_pipeline.store.database import Store, close_current_stores
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.notifications.servers import web_server
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, count, seed_experiment, split_of

RAMP = ("--set", "ramp_steps=75,100")


def test_a_ramp_is_shown_with_the_traffic_of_its_present_step(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    said = run("promote", "checkout", "--by", "maria", *RAMP).out
    shares = [line.split()[-4:] for line in said.splitlines() if "10.00 %" in line or "13.00 %" in line]
    assert shares == [["50", "%", "25", "%"], ["50", "%", "75", "%"]]
    assert "ramp: 75 % now, then 100 %" in said


@pytest.mark.parametrize("command", [("promote", "checkout", "--dry-run"), ("check", "checkout")])
def test_what_a_ramp_would_do_is_said_before(store: Store, run: Run, command: tuple[str, ...]) -> None:
    seed_experiment(store, "checkout")
    done = run(*command, *RAMP)
    assert "give 'treatment' 75 % of the traffic of 'checkout', then 100 %" in done.out + done.err


def test_auto_check_says_how_much_traffic_a_ramp_gave(store: Store, run: Run) -> None:
    # The experiment's own: what a sweep brings may only tighten, and a ramp is not among that.
    seed_experiment(store, "checkout", promotion_config={"rampSteps": [75, 100]})
    assert "to 75 % of the traffic, its first step" in run("auto-check", "--by", "cron", "--json").out


def test_auto_check_keeps_the_decisions_also_of_what_is_not_eligible(store: Store, run: Run) -> None:
    seed_experiment(store, "flat", NO_DIFFERENCE)
    assert "1 decisions recorded" in run("auto-check", "--by", "cron").err
    overview = experiment_overview(store, "flat")
    assert overview is not None
    assert (overview.verdict, overview.is_eligible) == ("not_yet", False)
    again = run("auto-check", "--by", "cron", "--json").data
    assert (again["recorded"], again["checked"]) == (0, 1)
    assert count(store, "SELECT count(*) FROM eligibility_decisions") == 1


def test_auto_check_under_other_thresholds_keeps_no_record(store: Store, run: Run) -> None:
    seed_experiment(store, "flat", NO_DIFFERENCE)
    run("auto-check", "--by", "cron", "--min-confidence-level", "99")
    assert count(store, "SELECT count(*) FROM eligibility_decisions") == 0


def test_auto_check_watches_and_takes_the_steps_of_ramps(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout", promotion_config={"ramp_steps": [75, 100], "ramp_hold_hours": 0})
    promote_winner("checkout", "manual", "maria", store=store)
    data = run("auto-check", "--by", "cron", "--json").data
    (entry,) = data["results"]
    assert entry["outcome"] == "ramp_waits"
    assert [(seen["experimentName"], seen["status"]) for seen in data["watched"]] == [("checkout", "unmeasured")]
    # No channel is on here: what waits in the outbox is left to a process that has one.
    assert data["notifications"] is None
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE fanned_out_at IS NOT NULL") == 0


def test_auto_check_delivers_what_it_did(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_experiment(store, "checkout")
    with web_server() as slack:
        monkeypatch.setenv("AUTO_PROMOTION_SLACK_TOKEN", "xoxb-token")
        monkeypatch.setenv("AUTO_PROMOTION_SLACK_BASE_URL", slack.slack_url)
        close_current_stores()
        data = run("auto-check", "--by", "cron", "--json").data
    assert (data["promoted"], data["notifications"]) == (1, {"delivered": 1, "waiting": 0, "dead": 0})
    assert "checkout" in slack.confirmed[0]["text"]


def test_a_rollback_that_nobody_can_be_asked_about_needs_yes(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    promote_winner("checkout", "manual", "maria", store=store)
    refused = run("rollback", "checkout", "--reason", "errors", "--by", "maria")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert split_of(store, seeded)["treatment"] == 100


def test_the_dry_run_of_a_rollback_refuses_what_the_real_one_refuses(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    promote_winner("checkout", "manual", "maria", store=store)
    with store.connect() as connection:
        connection.execute(
            "UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 10 ELSE 90 END"
            " WHERE experiment_id = %s",
            [seeded.id],
        )
    options = ("checkout", "--reason", "errors", "--by", "maria")
    for way in ("--dry-run", "--yes"):
        refused = run("rollback", *options, way)
        assert (refused.code, "--overwrite-split" in refused.err) == (4, True)
    would = run("rollback", *options, "--dry-run", "--overwrite-split")
    assert (would.code, "'control' has 10.00 %, the promotion set 0.00 %" in would.err) == (0, True)
    assert split_of(store, seeded)["treatment"] == 90
    assert run("rollback", *options, "--yes", "--overwrite-split").code == 0
    assert split_of(store, seeded)["treatment"] == 50


def test_serve_on_a_busy_port_exits_5_and_names_it(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port))
    assert (done.code, f"port {port}" in done.err, "--port" in done.err) == (5, True, True)


def test_a_second_dev_on_one_home_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(ConflictError, match=f"on {tmp_path} already"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        assert (tmp_path / "dev.lock").exists()


def test_links_go_where_the_ui_is_unless_the_environment_says_otherwise() -> None:
    variable = "AUTO_PROMOTION_DAGSTER_URL"
    assert links_to("127.0.0.1", 3007, {}) == {variable: "http://127.0.0.1:3007"}
    assert links_to("127.0.0.1", 3007, {variable: "https://dagster.example.com"}) == {}


def test_a_date_alone_is_midnight_utc(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    assert run("check", "checkout", "--as-of", "2026-01-01", "--json").data["asOf"] == "2026-01-01T00:00:00Z"


def test_no_setting_reaches_the_points_of_a_fault_campaign(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_experiment(store, "checkout")
    monkeypatch.setenv("AUTO_PROMOTION_FAULT_POINT", "after_commit")
    assert "AUTO_PROMOTION_FAULT_POINT" in run("check", "checkout").err
    promote_winner("checkout", "manual", "maria", store=store)
