"""`diff`: what changes between two labels, experiment by experiment."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

import pytest

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.decisions.comparison import Effect, compare_labels
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run, run, run_anywhere
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, WINNER, count, seed_experiment

__all__ = ["run", "run_anywhere"]

HOUR = timedelta(hours=1)
STRICT = PromotionConfig(min_improvement_percent=50)


@pytest.fixture
def end(store: Store) -> datetime:
    """A winner, a winner too early to tell, and no winner, decided over four days; returns the last as-of."""
    for name, variants in (("winner", WINNER), ("unproven", UNPROVEN), ("same", NO_DIFFERENCE)):
        seeded = seed_experiment(store, name, variants)
    rollup_window(store, seeded.start, seeded.end)
    evaluate_window(store, seeded.start, seeded.end)
    return seeded.end


def test_two_labels_of_the_same_decisions_do_not_differ(store: Store, end: datetime) -> None:
    evaluate_window(store, end - 24 * HOUR, end)
    found = compare_labels(store, "record", "latest")
    assert found.different == ()
    assert [one.hours for one in found.experiments] == [24, 24, 24]
    assert {one.only_a for one in found.experiments} == {72}
    assert found.summary == "0 of 3 experiments and 0 of 72 decisions differ between 'record' and 'latest'"


def test_stricter_thresholds_take_a_winner_away_and_looser_ones_bring_it_earlier(store: Store, end: datetime) -> None:
    evaluate_window(store, end - 96 * HOUR, end, config=STRICT, label="strict")
    early = PromotionConfig(min_runtime_hours=12)
    evaluate_window(store, end - 96 * HOUR, end, config=early, label="early")
    gone = {one.name: one for one in compare_labels(store, "record", "strict").different}
    assert set(gone) == {"winner", "unproven"}
    assert (gone["winner"].effect, gone["unproven"].effect) == (Effect.GONE, Effect.NONE)
    assert gone["winner"].promotable_b is None
    assert set(gone["winner"].changes) == {"promotable: treatment -> rejected"}
    assert gone["winner"].last_hour == end - HOUR

    promote_winner("winner", "auto", "anna", store=store)
    (after,) = [one for one in compare_labels(store, "record", "strict").different if one.name == "winner"]
    assert (after.effect, after.promoted, after.promoted_at) == (Effect.NOT_THEN, "treatment", end)
    (sooner,) = [one for one in compare_labels(store, "record", "early").different if one.name == "winner"]
    assert sooner.effect is Effect.EARLIER
    assert sooner.promotable_b is not None and sooner.promotable_a is not None
    assert sooner.promotable_b < sooner.promotable_a == end - 48 * HOUR
    assert sooner.hours_earlier == (end - sooner.promotable_b) / HOUR
    assert compare_labels(store, "record", "strict").summary.endswith("; 1 not promoted then")


def test_a_window_and_names_narrow_it(store: Store, end: datetime) -> None:
    evaluate_window(store, end - 96 * HOUR, end, config=STRICT, label="strict")
    (only,) = compare_labels(store, "record", "strict", end - 5 * HOUR, end, ["winner"]).experiments
    assert (only.name, only.hours, only.differing, only.first_hour) == ("winner", 5, 5, end - 5 * HOUR)


def test_what_does_not_exist_gets_a_suggestion(store: Store, end: datetime) -> None:
    evaluate_window(store, end - HOUR, end)
    with pytest.raises(NotFoundError, match="did you mean 'latest'"):
        compare_labels(store, "record", "latset")
    with pytest.raises(NotFoundError, match="there are 'latest', 'record'"):
        compare_labels(store, "99%", "record")
    with pytest.raises(NotFoundError, match="did you mean 'winner'"):
        compare_labels(store, "record", "latest", experiments=["winer"])


def test_the_command_prints_a_table_json_and_csv(store: Store, end: datetime, run: Run) -> None:
    start = (end - 96 * HOUR).isoformat()
    asked = run("evaluate", "--from", start, "--min-improvement-percent", "50", "--label", "50 %")
    assert asked.code == 0
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 288
    table = run("diff", "record", "50 %")
    assert table.code == 0
    assert "winner" in table.out and "rejected" in table.out
    assert "same" not in table.out
    assert "2 of 3 experiments" in table.err
    data = run("diff", "record", "50 %", "--json", "--experiment", "winner").data
    (row,) = data["experiments"]
    assert (row["experimentName"], row["effect"], row["promotableB"]) == ("winner", "gone", None)
    rows = list(csv.DictReader(io.StringIO(run("diff", "record", "50 %", "--csv").out)))
    assert [row["experimentName"] for row in rows][-1] == "same"
    unknown = run("diff", "record", "51 %")
    assert (unknown.code, unknown.out) == (1, "")
    assert "did you mean '50 %'" in unknown.err
