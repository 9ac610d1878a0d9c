"""Whatever the door, Dagster's UI tells the whole story."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from promotion_pipeline.cli.main import main
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline_tests.api.conftest import running_api
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.test_promotions import make_old, tick_of_acts, told
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, seed_experiment

Act = Callable[[str, str, str], None]
"""Act, experiment, reason."""
STORY = [
    Action.PROMOTE,
    Action.ROLL_BACK,
    Action.RELEASE_HOLD,
    Action.HOLD,
    Action.REQUEST_APPROVAL,
    Action.APPROVE,
    Action.PROMOTE,
    Action.REQUEST_APPROVAL,
    Action.DECLINE,
]


def play(stage: Stage, act: Act, sweep: Callable[[], None]) -> None:
    """Every act that a person can do."""
    seed_experiment(stage.store, "clear", WINNER)
    for each in ("promote", "rollback", "release", "hold"):
        act(each, "clear", "a reason")
    for name, answer in (("first", "approve"), ("second", "decline")):
        seed_experiment(stage.store, name, UNPROVEN)
        sweep()
        act(answer, name, "a reason")


def assert_told(stage: Stage, actor: str) -> None:
    make_old(stage.store)
    tick_of_acts(stage)
    assert told(stage.instance) == [action.value for action in STORY]
    assert count(stage.store, "SELECT count(*) FROM promotion_audit WHERE actor = %s", actor) == len(STORY)


def test_every_act_over_http_is_an_event(stage: Stage) -> None:
    with running_api(stage.store) as api:

        def act(name: str, experiment: str, reason: str) -> None:
            body = {} if name == "promote" else {"reason": reason}
            api.operator.post(f"/api/monitoring/experiments/{experiment}/{name}", json=body).raise_for_status()

        def sweep() -> None:
            api.operator.post("/api/monitoring/auto-promotion/check").raise_for_status()

        play(stage, act, sweep)
    assert_told(stage, "operator-token")


def test_every_act_of_the_command_line_is_an_event(
    stage: Stage, store_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["promotion-pipeline", *arguments, "--by", "maria"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code

    def act(name: str, experiment: str, reason: str) -> None:
        confirmed = ["--yes"] if name in {"promote", "approve", "rollback"} else []
        run(name, experiment, "--reason", reason, *confirmed)

    play(stage, act, lambda: run("auto-check"))
    assert_told(stage, "maria")
