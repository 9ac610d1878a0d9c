"""`simulate` and `backtest` as typed in a shell."""

from __future__ import annotations

from pathlib import Path

from promotion_pipeline_tests.cli.conftest import Run

FILE = str(Path(__file__).parents[1] / "data" / "asos_digital_experiments.parquet")
SMALL = ("simulate", "--experiments", "20", "--days", "3", "--jobs", "1")


def test_simulate_prints_a_line_a_rule_with_standard_errors(run_anywhere: Run) -> None:
    ran = run_anywhere(*SMALL, "--requests-per-user", "5", "--lift-percent", "20")
    assert ran.code == 0
    for rule in ("contract checks at every look", "unattended rule", "unattended rule, users ignored"):
        assert rule in ran.out
    assert "±" in ran.out and "best arm promoted" in ran.out
    assert "sample ratio alarms on users" in ran.out and "sample ratio alarms on requests" in ran.out


def test_simulate_gives_every_figure_as_json(run_anywhere: Run) -> None:
    ran = run_anywhere(*SMALL, "--json", "--seed", "5", "--min-improvement-percent", "1")
    assert [rule["rule"] for rule in ran.data["rules"]] == ["contract", "unattended"]
    assert ran.data["config"]["minImprovementPercent"] == 1
    assert set(ran.data["rules"][0]["falsePromotions"]) == {"value", "standardError"}
    assert run_anywhere(*SMALL, "--json", "--seed", "5", "--min-improvement-percent", "1").data == ran.data


def test_simulate_refuses_what_cannot_be_simulated(run_anywhere: Run) -> None:
    for arguments, said in (
        (("--lift-percent", "ten"), "--lift-percent 'ten' is not a list of numbers"),
        (("--arms", "1"), "arms=1"),
        (("--true-split", "60,60"), "sum to 100"),
    ):
        ran = run_anywhere(*SMALL, *arguments)
        assert ran.code == 2
        assert said in ran.err and ran.out == ""


def test_backtest_compares_two_rules_on_a_file(run_anywhere: Run) -> None:
    ran = run_anywhere("backtest", "--file", FILE, "--improvements", "1,2", "--list")
    assert ran.code == 0
    assert "contract, at least +1 %" in ran.out and "unattended, at least +2 %" in ran.out
    assert "12 of 99 comparisons end with a sample ratio mismatch" in ran.out
    assert "asos-2c8a04" in ran.out


def test_backtest_of_chosen_experiments_gives_json(run_anywhere: Run) -> None:
    ran = run_anywhere(
        "backtest", "asos-2c8a04", "--file", FILE, "--rule", "contract", "--min-improvement-percent", "1", "--json"
    )
    assert ran.data["rules"] == [
        {
            "rule": "contract",
            "experiments": 1,
            "promoted": 1,
            "medianHours": 109.0,
            "kept": 1,
            "faded": 0,
            "reversed": 0,
            "withheld": 0,
            "withheldBySrm": 0,
            "srm": 0,
            "promotedWithSrm": 0,
        }
    ]
    (promotion,) = ran.data["promotions"]
    assert (promotion["experimentName"], promotion["outcome"]) == ("asos-2c8a04", "kept")


def test_backtest_of_an_empty_database_says_what_to_do(run: Run) -> None:
    ran = run("backtest")
    assert ran.code == 1
    assert "import" in ran.err
    assert run("backtest", "nobody").code == 1
    assert run("backtest", "--rule", "nonsense").code == 2


def test_the_returns_are_printed_beside_the_rules(run_anywhere: Run) -> None:
    rule = "unattended,min_improvement_percent=0"
    names = ("asos-2c8a04", "asos-fdaf62", "asos-b8a409")
    arguments = ("backtest", *names, "--file", FILE, "--rule", rule, "--returns", "--folds", "2")
    said = run_anywhere(*arguments)
    assert said.code == 0
    assert "cross-validated" in said.out
    (one,) = run_anywhere(*arguments, "--json").data["returns"]
    assert (one["experiments"], one["promoted"], one["folds"]) == (3, 2, 2)
    assert one["promised"] > one["plugIn"] > 0
    assert one["crossValidated"] > 0
