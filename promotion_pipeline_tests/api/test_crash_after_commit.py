"""The server is killed after COMMIT, before it could answer: the same Idempotency-Key gets the answer of the act."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection as Pipe

import httpx2
import pytest

from promotion_pipeline import promote_winner
from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.holds import hold_promotion
from promotion_pipeline.promotion.record.faults import FaultPoint, die_at
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.api.conftest import Api
from promotion_pipeline_tests.faults.racers import a_process, serve
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, add_requests, let_time_pass, seed_experiment

EXPERIMENT = "/api/monitoring/experiments/checkout"
KEY = {"Idempotency-Key": "key-1"}


def won(store: Store) -> None:
    seed_experiment(store, "checkout", WINNER)


def promoted(store: Store) -> None:
    won(store)
    promote_winner("checkout", "manual", "anna", store=store)


def held(store: Store) -> None:
    won(store)
    hold_promotion("checkout", "sleep first", "anna", store=store)


def asked(store: Store) -> None:
    seed_experiment(store, "checkout", UNPROVEN)
    auto_check_promotions("cron", store=store)


def dying_server(url: str, settings: Settings, pipe: Pipe) -> None:
    """Serve in this process, which dies at its first act."""
    die_at(FaultPoint.AFTER_COMMIT)
    serve(url, settings, pipe)


def send_to_a_server_that_dies(api: Api, path: str, body: dict[str, str]) -> None:
    with a_process(dying_server, api.store.url, api.store.settings) as pipe, pytest.raises(httpx2.TransportError):
        api.operator.post(f"{pipe.recv()}{path}", json=body, headers=KEY)
    assert api.rows("SELECT 1 FROM api_idempotency_keys") == []


@pytest.mark.parametrize(
    ("setting", "act", "action", "body"),
    [
        (won, "promote", "promote", {"promotionType": "manual"}),
        (promoted, "rollback", "roll_back", {"reason": "errors"}),
        (asked, "approve", "approve", {}),
        (asked, "decline", "decline", {"reason": "not yet"}),
        (won, "hold", "hold", {"reason": "not yet"}),
        (held, "release", "release_hold", {"reason": "now"}),
    ],
    ids=["promote", "rollback", "approve", "decline", "hold", "release"],
)
def test_an_act_whose_server_died_is_answered_and_not_done_again(
    api: Api, setting: Callable[[Store], None], act: str, action: str, body: dict[str, str]
) -> None:
    setting(api.store)
    send_to_a_server_that_dies(api, f"{EXPERIMENT}/{act}", body)
    done = api.rows("SELECT id, actor FROM promotion_audit WHERE action = %s", action)

    again = api.operator.post(f"{EXPERIMENT}/{act}", json=body, headers=KEY)

    assert again.status_code == 200, again.text
    assert again.json()["success"] is True
    assert api.rows("SELECT id, actor FROM promotion_audit WHERE action = %s", action) == done
    assert [row["actor"] for row in done] == ["operator-token"]
    without = api.operator.post(f"{EXPERIMENT}/{act}", json=body)
    assert without.status_code == 409


def test_a_rollback_whose_answer_was_lost_speaks_of_its_promotion_and_not_of_the_next(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    promote_winner("checkout", "manual", "anna", store=api.store)
    send_to_a_server_that_dies(api, f"{EXPERIMENT}/rollback", {"reason": "errors"})
    let_time_pass(api.store, seeded, 60)
    for variant in WINNER:
        add_requests(api.store, seeded, variant, start=seeded.end - timedelta(hours=55), end=seeded.end)
    next_one = promote_winner("checkout", "manual", "bert", store=api.store)

    again = api.operator.post(f"{EXPERIMENT}/rollback", json={"reason": "errors"}, headers=KEY)

    promotion = again.json()["data"]["promotion"]
    assert (promotion["state"], promotion["rollbackReason"]) == ("rolled_back", "errors")
    assert promotion["id"] != str(next_one.id)
    assert len(api.rows("SELECT 1 FROM experiment_promotions WHERE state = 'promoted'")) == 1


def test_the_key_of_a_lost_answer_is_refused_for_another_body(api: Api) -> None:
    promoted(api.store)
    send_to_a_server_that_dies(api, f"{EXPERIMENT}/rollback", {"reason": "errors"})

    answer = api.operator.post(f"{EXPERIMENT}/rollback", json={"reason": "errors", "to": "control"}, headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
