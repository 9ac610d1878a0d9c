"""`watch`, `advance`, `acknowledge`, `traffic overwrite`, `rollback --to close`: what people type about a promotion."""

from __future__ import annotations

from decimal import Decimal

from promotion_pipeline import promote_winner
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.promotion.test_alarms import BROKEN, HEALTHY, SAVED_BACK, execute, promoted
from promotion_pipeline_tests.seeding import WINNER, seed_experiment, split_of


def test_watch_ends_with_1_where_a_winner_is_worse_and_says_so(store: Store, run: Run) -> None:
    assert run("watch").code == 0
    promoted(store, 2, BROKEN)
    said = run("watch", "--json")
    assert said.code == 1
    assert [(one["experimentName"], one["status"], one["action"]) for one in said.data] == [("x", "breach", "alerted")]
    assert run("watch").code == 1


def test_watch_ends_with_0_where_it_rolled_back(store: Store, run: Run) -> None:
    seeded = promoted(store, 2, BROKEN, autoRollback=True)
    assert run("watch").code == 0
    assert split_of(store, seeded)["control"] == Decimal(100)


def test_check_list_history_and_doctor_begin_with_the_breach(store: Store, run: Run) -> None:
    promoted(store, 2, BROKEN)
    watch_promotions(store)
    for command in (["check", "x"], ["check"], ["history", "x"]):
        said = run(*command).out
        assert said.startswith("! x: worse than when it was promoted since"), said
        assert "promotion-pipeline rollback x --to control --reason" in said
    assert "BREACH since" in run("history", "x").out
    assert run("history", "x", "--json").data["alarms"][0]["kind"] == "breach"
    assert run("check", "x", "--json").data["alarms"][0]["kind"] == "breach"
    assert run("acknowledge", "x", "--reason", "known", "--by", "anna").code == 0
    assert run("check", "x", "--json").data["alarms"] == []
    assert run("acknowledge", "x", "--reason", "known").code == 4


def test_a_healthy_promotion_shows_when_it_was_last_looked_at(store: Store, run: Run) -> None:
    promoted(store, 2, HEALTHY)
    watch_promotions(store)
    assert "promoted, clean at" in " ".join(run("history", "x").out.split())


def test_advance_says_the_split_before_and_after(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [75, 100], "rampHoldHours": 24})
    promote_winner("x", "auto", "sensor", store=store)
    planned = run("advance", "x", "--dry-run")
    assert "from control 25 %, treatment 75 % to control 0 %, treatment 100 %" in planned.err
    foreseen = run("rollback", "x", "--reason", "errors", "--to", "control", "--dry-run", "--json").data
    assert (foreseen["traffic"]["control"], foreseen["trafficAfter"]["control"]) == (25.0, 100.0)
    assert split_of(store, seeded)["treatment"] == Decimal(75)
    assert run("advance", "x", "--dry-run", "--json").data["trafficAfter"] == {"control": 0.0, "treatment": 100.0}
    done = run("advance", "x", "--by", "anna", "--reason", "looked", "--to-percent", "100", "--json")
    assert done.data["traffic"] == {"control": 0.0, "treatment": 100.0}
    assert run("advance", "x").code == 4


def test_a_split_that_was_changed_is_put_back_or_kept(store: Store, run: Run) -> None:
    seeded = promoted(store)
    execute(store, *SAVED_BACK)
    (looked,) = run("watch", "--json").data
    assert (looked["hasDrifted"], "50" in looked["message"]) == (True, True), looked["message"]
    refused = run("rollback", "x", "--reason", "errors", "--dry-run")
    assert (refused.code, "--overwrite-split" in refused.err) == (4, True)
    planned = run("traffic", "overwrite", "x", "--reason", "y", "--dry-run")
    assert "back to control 0 %, treatment 100 %" in planned.err
    foreseen = run("traffic", "overwrite", "x", "--reason", "y", "--dry-run", "--json").data
    assert foreseen["trafficAfter"] == {"control": 0.0, "treatment": 100.0}
    assert run("traffic", "overwrite", "x", "--reason", "y").code == 0
    assert split_of(store, seeded)["treatment"] == Decimal(100)
    execute(store, *SAVED_BACK)
    planned = run("rollback", "x", "--reason", "theirs", "--to", "close", "--dry-run")
    assert ("leave its traffic at" in planned.err, "overwrite" in planned.err) == (True, False), planned.err
    closed = run("rollback", "x", "--reason", "theirs", "--to", "close", "--yes")
    assert (closed.code, "decided split: control 50 %, treatment 50 %" in closed.out) == (0, True)
    assert " closed " in run("history", "x").out
