"""Idempotency-Key: one act, one answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from promotion_pipeline_tests.api.conftest import CRON_SECRET, Api
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, seed_experiment

EXPERIMENT = "/api/monitoring/experiments/checkout"
PROMOTE = f"{EXPERIMENT}/promote"
ROLLBACK = f"{EXPERIMENT}/rollback"
SWEEP = "/api/monitoring/auto-promotion/check"
KEY = {"Idempotency-Key": "key-1"}


def _promotions(api: Api) -> int:
    return len(api.rows("SELECT 1 FROM experiment_promotions"))


def test_the_same_key_and_body_give_the_stored_answer(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    body = {"promotionType": "manual", "metadata": {"b": 1, "a": 2}}
    first = api.operator.post(PROMOTE, json=body, headers=KEY)

    second = api.operator.post(PROMOTE, json={"metadata": {"a": 2, "b": 1}, "promotionType": "manual"}, headers=KEY)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert _promotions(api) == 1


def test_without_a_key_the_second_promotion_is_a_conflict(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE).raise_for_status()

    answer = api.operator.post(PROMOTE)

    assert (answer.status_code, answer.json()["code"]) == (409, "already-promoted")


def test_a_repeated_rollback_with_its_key_is_answered_and_not_done_again(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE).raise_for_status()
    first = api.operator.post(ROLLBACK, json={"reason": "errors"}, headers=KEY)
    first.raise_for_status()

    second = api.operator.post(ROLLBACK, json={"reason": "errors"}, headers=KEY)

    assert second.content == first.content
    assert len(api.rows("SELECT 1 FROM promotion_audit WHERE action = 'roll_back'")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PROMOTE, {"promotionType": "auto"}),
        ("POST", PROMOTE, None),
        ("DELETE", PROMOTE, {"promotionType": "manual"}),
        ("POST", "/api/monitoring/experiments/other/promote", {"promotionType": "manual"}),
    ],
    ids=["other body", "no body", "other method", "other experiment"],
)
def test_the_same_key_for_another_request_is_refused(
    api: Api, method: str, path: str, body: dict[str, str] | None
) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE, json={"promotionType": "manual"}, headers=KEY).raise_for_status()

    answer = api.operator.request(method, path, json=body, headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


def test_keys_of_different_tokens_are_different_keys(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE, headers=KEY).raise_for_status()

    assert api.as_role("admin").post(PROMOTE, headers=KEY).json()["code"] == "already-promoted"


def test_a_refusal_by_the_state_is_kept_and_one_of_form_is_not(api: Api) -> None:
    seed_experiment(api.store, "checkout", NO_DIFFERENCE)
    assert api.operator.post(PROMOTE, json={"promotionType": "?"}, headers=KEY).status_code == 422

    first = api.operator.post(PROMOTE, headers=KEY)
    second = api.operator.post(PROMOTE, headers=KEY)

    assert (first.status_code, first.json()["code"]) == (409, "not-eligible")
    assert second.content == first.content
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "with blank", "x" * 201, "ü"])
def test_a_key_that_is_none_is_refused(shared_api: Api, key: str) -> None:
    answer = shared_api.operator.post(PROMOTE, headers=[(b"Idempotency-Key", key.encode())])

    assert answer.status_code == 422


def test_of_requests_with_one_key_at_once_one_acts_and_all_get_its_answer(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    def promote(_: int) -> httpx2.Response:
        return api.operator.post(PROMOTE, json={"promotionType": "manual"}, headers=KEY)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(promote, range(32)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert _promotions(api) == 1


def test_of_requests_with_different_keys_at_once_one_promotes(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    def promote(number: int) -> httpx2.Response:
        return api.operator.post(PROMOTE, headers={"Idempotency-Key": f"key-{number}"})

    with ThreadPoolExecutor(32) as pool:
        statuses = [answer.status_code for answer in pool.map(promote, range(32))]

    assert sorted(statuses) == [200] + [409] * 31
    assert _promotions(api) == 1


def test_an_answer_that_was_lost_after_the_act_is_given_again(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    first = api.operator.post(PROMOTE, headers=KEY)
    # As if the process had died between the COMMIT of the act and that of the answer.
    api.rows("DELETE FROM api_idempotency_keys RETURNING 1")

    second = api.operator.post(PROMOTE, headers=KEY)

    assert second.status_code == 200
    assert second.json() == first.json()
    assert _promotions(api) == 1


def test_the_secret_of_the_sweep_is_no_part_of_the_request(api: Api) -> None:
    first = api.nobody.post(SWEEP, json={"cronSecret": CRON_SECRET}, headers=KEY)
    raw = [(b"Idempotency-Key", b"key-1"), (b"X-Cron-Secret", CRON_SECRET.encode())]

    second = api.nobody.post(SWEEP, json={}, headers=raw)

    assert first.status_code == 200
    assert second.content == first.content


def test_answers_are_forgotten_after_a_week(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE, headers=KEY).raise_for_status()
    api.rows("UPDATE api_idempotency_keys SET stored_at = now() - interval '8 days' RETURNING 1")

    answer = api.operator.post(ROLLBACK, json={"reason": "a week later"}, headers=KEY)

    assert answer.status_code == 200
    assert len(api.rows("SELECT 1 FROM api_idempotency_keys")) == 1
