"""`ledger`, as people and programs read it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from promotion_pipeline.cron import run_sweep
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.ledger.ledger import ledger_of
from promotion_pipeline.promotion.ledger.wording import outcome_sentence
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import instant_text
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.evaluation.stated import REVENUE
from promotion_pipeline_tests.promotion.test_realised import AFTER, HELD, later
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

LONG = "a-name-that-is-as-long-as-names-of-experiments-may-well-be"


def test_an_empty_ledger_says_so_and_a_name_that_nobody_knows_is_an_error(store: Store, run: Run) -> None:
    assert "Nothing was promoted yet" in run("ledger").err
    assert run("ledger", "nobody").code == 1
    seed_experiment(store, "x", WINNER)
    assert run("ledger", "x").code == 0


def test_promise_outcome_and_programme_fit_eighty_columns(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name, config in ((LONG, HELD), ("y", {})):
        seeded = seed_experiment(store, name, WINNER, promotion_config=config)
        promote_winner(name, "auto", "sensor", store=store)
        later(store, seeded, 48, *(AFTER if config else ()))
        if config:
            advance_ramp(name, "anna", store=store)
        later(store, seeded, 52)
    run_sweep("cron", store=store)
    said = run("ledger")
    assert max(map(len, said.out.splitlines())) <= 80
    flat = " ".join(said.out.split())
    assert "y: not measurable: control got no traffic after the decision: set holdback_percent" in flat
    assert "shrunken: 1 of 1 held" in flat
    told = " ".join(run("history", LONG).out.split())
    assert "promised +30.0 %, expected +23.7 %; came +20.0 % (+3.5 to +36.5 %), by the holdback" in told
    found = run("ledger", "--json").data
    assert (found["measured"], found["notMeasurable"]) == (1, 1)
    one = next(entry for entry in found["entries"] if entry["experimentName"] == LONG)
    assert one["realisedLift"] == pytest.approx(0.2)
    assert (one["source"], one["held"], one["controlRequests"]) == ("holdback", True, 2_000)
    assert run("ledger", "y", "--json", "--refresh").data["entries"][0]["reason"] == "no_traffic_on_control"


def test_each_promise_says_of_which_metric_it_is_and_from_when_there_is_a_number(store: Store, run: Run) -> None:
    promotions = {}
    for name, config in (("held", HELD), ("all", {}), ("goals", HELD | {"metrics": [REVENUE]})):
        seed_experiment(store, name, WINNER, promotion_config=config)
        promotions[name] = promote_winner(name, "manual" if name == "goals" else "auto", "anna", store=store)
    found = {entry["experimentName"]: entry for entry in run("ledger", "--json").data["entries"]}
    begun = promotions["held"].step_started_at.replace(minute=0, second=0, microsecond=0)
    assert datetime.fromisoformat(found["held"]["numberFrom"]) == begun + timedelta(hours=1)
    assert (found["all"]["numberFrom"], found["held"]["metric"], found["held"]["goals"]) == (None, "conversion", [])
    goals = ledger_of([(promotions["goals"].model_copy(update={"evidence": "always_valid"}), None)]).entries[0]
    assert goals.goals == ("revenue",)
    assert "its goals 'revenue' are not measured here" in outcome_sentence(goals)
    said = run("ledger", "held")
    assert f"held: nothing measured yet: a number from {instant_text(found['held']['numberFrom'])} on" in said.out
    assert "goals are not measured here" in " ".join(said.err.split())
