"""`evaluate`: past hours, thresholds and labels."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, VariantSpec, add_requests, count, seed_experiment, split_of

LABELS = "SELECT count(*) FROM eligibility_decisions WHERE label = %s"


def test_other_thresholds_are_stored_beside_the_record_and_promote_nothing(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "checkout")
    seed_experiment(store, "other")
    start, end = seeded.start.isoformat(), seeded.end.isoformat()
    first = run("evaluate", "--from", start, "--to", end, "--json")
    assert (first.code, first.data["hours"], first.data["recorded"]) == (0, 96, 192)
    options = ["--experiment", "checkout", "--min-improvement-percent", "40", "--label", "40 %"]
    again = run("evaluate", "--from", start, *options)
    assert again.code == 0
    assert "rejected" in again.out
    assert "other" not in again.out
    assert count(store, LABELS, "record") == 192
    assert count(store, LABELS, "40 %") == 96
    assert split_of(store, seeded)["treatment"] == 50


def test_a_bad_range_exits_2(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    for options in (
        ["--from", "2026-03-02", "--to", "2026-03-01"],
        ["--from", "2026-03-01T00:30Z", "--to", "2026-03-02"],
        ["--from", "2026-03-01", "--to", "2999-01-01"],
        ["--from", "2026-03-01T00:00"],
        ["--from", "2026-03-01", "--to", "2026-03-02", "--label", "record"],
    ):
        done = run("evaluate", *options)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), options


def test_an_experiment_that_is_named_is_rolled_up_alone(run: Run, store: Store) -> None:
    one, other = (seed_experiment(store, name, NO_DIFFERENCE) for name in ("one", "other"))
    roll_up(store, one.start, one.end)
    late = VariantSpec("treatment", requests=40)
    for seeded in (one, other):
        add_requests(store, seeded, late, start=seeded.end - timedelta(hours=10), end=seeded.end)
    ran = run("evaluate", "--from", f"{one.start:%Y-%m-%dT%H:00Z}", "--experiment", "one", "--roll-up", "--json")
    assert ran.code == 0 and ran.data["seconds"]["total"] >= ran.data["seconds"]["read"]
    with store.connect() as connection:
        counted = connection.execute(
            "SELECT e.name, sum(r.requests)::int AS requests FROM hourly_variant_rollups AS r"
            " JOIN ab_experiments AS e ON e.id = r.experiment_id GROUP BY e.name"
        ).fetchall()
    assert {row["name"]: row["requests"] for row in counted} == {"one": 20_040, "other": 20_000}
