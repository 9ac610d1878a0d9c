"""`plan` and `simulate --like` as typed in a shell."""

from __future__ import annotations

import pytest

from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, seed_experiment

NUMBERS = ("plan", "--rate", "0.05", "--requests-per-day", "9600", "--lift-percent", "20")

VALUE = ("plan", "--mean", "24", "--standard-deviation", "60", "--requests-per-day", "9600", "--lift-percent", "20")


def test_a_value_is_planned_by_its_mean_and_standard_deviation(run_anywhere: Run) -> None:
    ran = run_anywhere(*VALUE[:-1], "5", "--set", "min_improvement_percent=0", "--json")
    traffic = ran.data["plans"][0]["traffic"]
    assert (traffic["mean"], traffic["isProportion"], traffic["relativeVariance"]) == (24, False, 6.25)
    # At one look (z of the level and of the power) over the log of the lift, in even halves.
    needs = {need["evidence"]: need["requestsTwoArms"] for need in ran.data["plans"][0]["needs"]}
    assert needs["fixed_horizon"] == pytest.approx(4 * 6.25 * (2.8016 / 0.04879) ** 2, rel=0.01)


def test_a_value_of_users_is_planned_by_users(run_anywhere: Run) -> None:
    ran = run_anywhere(*VALUE, "--of-users", "--requests-per-user", "5", "--json")
    traffic = ran.data["plans"][0]["traffic"]
    assert (traffic["relativeVariance"], traffic["requestsPerUser"], traffic["designEffect"]) == (31.25, 5, 1)
    same = run_anywhere(*VALUE, "--set", "primary_metric=value_per_user", "--requests-per-user", "5", "--json")
    assert same.data == ran.data


def test_plan_prints_a_line_an_evidence(run_anywhere: Run) -> None:
    ran = run_anywhere(*NUMBERS)
    assert ran.code == 0
    for evidence in ("always_valid", "obrien_fleming", "alpha_t_squared", "fixed_horizon"):
        assert evidence in ran.out
    assert "9,600 requests a day, 2 variants, control converts 5.00 % (given numbers)" in ran.out
    assert "cost" not in ran.out


def test_plan_gives_every_figure_as_json_for_each_lift_and_power(run_anywhere: Run) -> None:
    ran = run_anywhere(*NUMBERS[:-1], "20,30", "--power-percent", "80,90", "--variants", "3", "--json")
    aims = [(plan["aim"]["power"], plan["aim"]["lift"]) for plan in ran.data["plans"]]
    assert aims == [(0.8, 0.2), (0.8, 0.3), (0.9, 0.2), (0.9, 0.3)]
    need = ran.data["plans"][0]["needs"][0]
    assert need["requests"] == pytest.approx(1.5 * need["requestsTwoArms"], abs=2)


def test_plan_says_what_goals_and_guardrails_cost(run_anywhere: Run) -> None:
    ran = run_anywhere(*NUMBERS, "--goals", "3", "--guardrails", "2", "--margin-percent", "10")
    assert "goals and guardrails cost" in ran.out
    assert "stated goals are decided by the always-valid test" in ran.err
    assert "3 goals share the allowed error" in ran.err and "arXiv 2402.11609" in ran.err


def test_a_threshold_changes_the_plan(run_anywhere: Run) -> None:
    small = ("--lift-percent", "4")
    refused = run_anywhere(*NUMBERS[:-2], *small)
    assert refused.code == 0 and "the lift is not above min_improvement_percent" in refused.err
    allowed = run_anywhere(*NUMBERS[:-2], *small, "--min-improvement-percent", "0", "--json")
    assert allowed.data["plans"][0]["needs"][0]["requests"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan",), "--rate and --requests-per-day are needed"),
        (("plan", "--requests-per-day", "9", "--set", "primary_metric=value_mean"), "--mean, --standard-deviation and"),
        ((*NUMBERS, "--set", "primary_metric=value_mean"), "give --mean and --standard-deviation"),
        ((*VALUE[:3], "--requests-per-day", "9600"), "planned by its mean and by how much it varies"),
        ((*VALUE, "--of-users"), "give --requests-per-user"),
        (("plan", "--rate", "0", "--requests-per-day", "100"), "where nothing converts yet"),
        ((*NUMBERS[:-1], "0"), "without a difference there"),
        ((*NUMBERS[:-1], "ten"), "is not a list of numbers"),
        ((*NUMBERS, "--power-percent", "100"), "no finite plan"),
        ((*NUMBERS, "--variants", "1"), "2 to 20 variants"),
        ((*NUMBERS, "--requests-per-user", "0.5"), "0.5 requests a user"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_to_give(
    run_anywhere: Run, arguments: tuple[str, ...], said: str
) -> None:
    ran = run_anywhere(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_an_experiment_is_planned_and_its_promise_checked_by_its_name(run: Run, store: Store) -> None:
    seeded = seed_experiment(store, "checkout", NO_DIFFERENCE, users=1_000)
    roll_up(store, seeded.start, seeded.end)
    planned = run("plan", "checkout", "--lift-percent", "10", "--requests-per-day", "50000", "--json")
    traffic = planned.data["plans"][0]["traffic"]
    assert (traffic["mean"], traffic["requestsPerDay"]) == (0.1, 50_000)
    assert "20,000 requests of checkout" in traffic["source"]
    like = run("simulate", "--like", "checkout", "--experiments", "60")
    assert like.code == 0
    assert "60 experiments like checkout: its 2,000 users over 96 hours" in like.out
    assert "unattended rule" in like.out and "promised at most" in like.out
    told = run("simulate", "--like", "checkout", "--experiments", "60", "--json").data
    assert [rule["rule"] for rule in told["rules"]] == ["contract", "unattended"]
    assert told["rules"][1]["promised"] == pytest.approx(0.025)
    assert run("simulate", "--like", "nobody").code == 1


def test_simulate_takes_goals_guardrails_and_a_weekly_cycle(run_anywhere: Run) -> None:
    users = ("simulate", "-n", "5", "--days", "3", "--jobs", "1", "--requests-per-user", "3", "--weekly-swing", "0.3")
    stated = ("--goals", "2", "--guardrails", "1", "--goal-lift-percent", "15", "--covariate-correlation", "0.5")
    ran = run_anywhere(*users, *stated)
    assert "2 goals, the first with a true lift of +15 %, past correlated by 0.5" in ran.out
    assert "1 guardrails with a margin of 20 %" in ran.out and "best arm promoted" in ran.out
    without = run_anywhere("simulate", "-n", "5", "--goals", "1")
    assert without.code == 2 and "metrics needs users" in without.err


def test_a_plan_by_name_has_a_line_a_goal_by_its_own_variance_and_says_where_it_has_none(
    run: Run, store: Store
) -> None:
    buyers = {"name": "buyers", "kind": "user_proportion", "column": "converted", "role": "goal"}
    lost = {"name": "lost", "kind": "user_mean", "event": "lost", "role": "goal"}
    seeded = seed_experiment(
        store, "checkout", NO_DIFFERENCE, users=1_000, promotion_config={"metrics": [buyers, lost]}
    )
    roll_up(store, seeded.start, seeded.end)
    planned = run("plan", "checkout", "--lift-percent", "10")
    assert planned.code == 0
    assert "goal 'buyers': control has" in planned.err and "planned by its own variance" in planned.err
    assert "goal 'lost' is planned by the primary metric's rate and variance: no event or value matches" in planned.err
    found = run("plan", "checkout", "--lift-percent", "10", "--json").data["plans"]
    assert [(plan["goal"], len(plan["needs"])) for plan in found] == [("buyers", 2), ("lost", 2)]
    assert found[0]["needs"][0]["requests"] < found[1]["needs"][0]["requests"]
    assert run("plan", "checkout", "--rate", "0.1", "--json").data["plans"][0]["goal"] is None
