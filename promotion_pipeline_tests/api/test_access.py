"""Who may do what: every route with every role, tokens, the cron secret, and whose name the history has."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import SecretStr

from promotion_pipeline.api.guard import GuardedRoute
from promotion_pipeline.api.openapi import api_routes
from promotion_pipeline.api.serve import require_sound_secret, serve
from promotion_pipeline.api.tokens import Role, create_token, list_tokens, revoke_token
from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline_tests.api.conftest import CRON_SECRET, TLS, Api, StartApi
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

SWEEP = "/api/monitoring/auto-promotion/check"
PROMOTE = "/api/monitoring/experiments/checkout/promote"

LEAST_ROLE = {
    ("GET", "/health"): None,
    ("GET", "/openapi.json"): "viewer",
    ("GET", "/api/monitoring/experiments"): "viewer",
    ("GET", "/api/monitoring/approvals"): "viewer",
    ("GET", "/api/monitoring/ledger"): "viewer",
    ("GET", "/api/monitoring/tokens"): "admin",
    ("DELETE", "/api/monitoring/tokens/{token_id}"): "admin",
    ("GET", "/api/monitoring/experiments/{name}/promote"): "viewer",
    ("POST", "/api/monitoring/experiments/{name}/promote"): "operator",
    ("DELETE", "/api/monitoring/experiments/{name}/promote"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/rollback"): "operator",
    ("GET", "/api/monitoring/experiments/{name}/history"): "viewer",
    ("GET", "/api/monitoring/experiments/{name}/approvals"): "viewer",
    ("POST", "/api/monitoring/experiments/{name}/approve"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/decline"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/advance"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/acknowledge"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/traffic/overwrite"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/traffic/adopt"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/traffic/retry"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/hold"): "operator",
    ("POST", "/api/monitoring/experiments/{name}/release"): "operator",
    ("POST", "/api/monitoring/requests"): "ingest",
    ("POST", "/api/monitoring/events"): "ingest",
    ("POST", SWEEP): "operator",
    ("GET", SWEEP): "operator",
}
MAY: dict[str | None, set[str | None]] = {
    None: {None},
    "viewer": {None, "viewer"},
    "operator": {None, "viewer", "operator"},
    "admin": {None, "viewer", "operator", "admin", "ingest"},
    "ingest": {None, "ingest"},
    "evaluate": {None},
}
"""Role -> what the routes that it may call ask for."""


def test_every_route_answers_every_role_as_the_table_says(shared_api: Api) -> None:
    routes = {(method, route.path_format) for route in api_routes(shared_api.app) for method in route.methods or ()}
    assert {route for route in routes if route[1].startswith(("/api", "/health", "/openapi"))} == LEAST_ROLE.keys()

    wrong = []
    for (method, path), least in LEAST_ROLE.items():
        url = path.format(name="no-such-experiment", token_id=uuid4())
        for role, may in MAY.items():
            status = shared_api.as_role(role).request(method, url).status_code
            if least in may:
                as_expected = status not in (401, 403) and status < 500
            else:
                as_expected = status == (401 if role is None else 403)
            if not as_expected:
                wrong.append((method, path, role, status))
    assert wrong == []


def test_a_refused_request_does_nothing_even_if_its_body_is_sound(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    assert api.nobody.post(PROMOTE, json={"promotionType": "manual"}).status_code == 401
    assert api.viewer.post(PROMOTE, json={"promotionType": "manual"}).status_code == 403

    assert api.viewer.get("/api/monitoring/experiments/checkout/history").json()["data"]["count"] == 0


def test_nobody_learns_from_a_refusal_whether_the_rest_was_right(shared_api: Api) -> None:
    for query, content in (("?nonsense=1", b"{}"), ("", b"no json"), ("", b'{"promotionType": 7}')):
        answer = shared_api.nobody.post(PROMOTE + query, content=content)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer pp_wrong", "Basic dXNlcjpwYXNz", "pp_wrong", "Bearer \xff\xfe", "Bearer a b"]
)
def test_a_credential_that_is_none_is_refused(shared_api: Api, header: str) -> None:
    answer = shared_api.nobody.get(PROMOTE, headers=[(b"Authorization", header.encode("latin-1"))])

    assert answer.status_code == 401


def test_two_authorization_headers_are_refused(shared_api: Api) -> None:
    headers = [
        ("Authorization", f"Bearer {shared_api.secrets['viewer']}"),
        ("Authorization", f"Bearer {shared_api.secrets['admin']}"),
    ]

    assert shared_api.nobody.get(PROMOTE, headers=headers).status_code == 400


def test_a_revoked_or_expired_token_opens_nothing(api: Api) -> None:
    revoked, _ = create_token(api.store, "gone", Role.ADMIN, "tests")
    expired, token = create_token(api.store, "old", Role.ADMIN, "tests", lifetime_days=1)
    alive = {"Authorization": f"Bearer {revoked}"}
    assert api.nobody.get("/api/monitoring/approvals", headers=alive).status_code == 200
    revoke_token(api.store, "gone", "tests")
    api.rows("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE id = %s RETURNING id", token.id)

    for secret in (revoked, expired):
        headers = {"Authorization": f"Bearer {secret}"}
        assert api.nobody.get("/api/monitoring/approvals", headers=headers).status_code == 401


def test_an_admin_lists_and_revokes_tokens(api: Api) -> None:
    admin = api.as_role("admin")
    listed = {token["name"]: token for token in admin.get("/api/monitoring/tokens").json()["data"]}
    assert listed.keys() == {f"{role}-token" for role in Role}
    assert listed["admin-token"]["lastUsedAt"] is not None

    answer = admin.delete(f"/api/monitoring/tokens/{listed['viewer-token']['id']}")

    assert answer.json()["data"]["revokedBy"] == "admin-token"
    assert api.viewer.get(PROMOTE).status_code == 401
    assert admin.delete(f"/api/monitoring/tokens/{listed['viewer-token']['id']}").status_code == 404


def test_only_a_hash_of_a_token_is_stored(shared_api: Api) -> None:
    stored = str(shared_api.rows("SELECT * FROM api_tokens"))

    assert all(secret not in stored for secret in shared_api.secrets.values())
    assert len({len(secret) for secret in shared_api.secrets.values()}) == 1
    assert min(map(len, shared_api.secrets.values())) >= 43
    assert {token.role for token in list_tokens(shared_api.store)} == set(Role)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, {"cronSecret": CRON_SECRET}),
        ({b"X-Cron-Secret": CRON_SECRET.encode()}, {}),
        ({b"Authorization": b"Bearer " + CRON_SECRET.encode()}, {}),
    ],
    ids=["body", "header", "bearer"],
)
def test_the_cron_secret_opens_the_sweep_and_nothing_else(
    shared_api: Api, headers: dict[bytes, bytes], body: dict[str, str]
) -> None:
    raw: Any = list(headers.items())
    assert shared_api.nobody.post(SWEEP, json=body, headers=raw).status_code == 200
    assert shared_api.nobody.post(PROMOTE, json=body, headers=raw).status_code == 401
    assert shared_api.nobody.get("/api/monitoring/approvals", headers=raw).status_code == 401


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "x",
        CRON_SECRET[:-1],
        CRON_SECRET + " ",
        CRON_SECRET.encode().decode("latin-1"),
        "\\ud800 half a pair",
        "\\u0000",
    ],
)
def test_a_wrong_cron_secret_is_refused_whatever_characters_it_has(shared_api: Api, secret: str) -> None:
    content = ('{"cronSecret": "' + secret + '"}').encode()

    answer = shared_api.nobody.post(SWEEP, content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("value", ["5", "null", "true", "[]", "{}"])
def test_a_cron_secret_that_is_no_text_is_refused(shared_api: Api, value: str) -> None:
    content = f'{{"cronSecret": {value}}}'.encode()

    assert shared_api.nobody.post(SWEEP, content=content).status_code == 401


def test_without_a_cron_secret_in_the_settings_none_is_accepted(start_api: StartApi) -> None:
    api = start_api(cron_secret=None)

    for secret in ("", "None", CRON_SECRET):
        assert api.nobody.post(SWEEP, json={"cronSecret": secret}).status_code == 401
    assert api.nobody.post(SWEEP, headers={"X-Cron-Secret": ""}).status_code == 401
    assert api.operator.post(SWEEP).status_code == 200


def test_secrets_are_compared_in_constant_time_on_bytes_of_one_length(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[object, object]] = []
    original = hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return original(a, b)

    monkeypatch.setattr("promotion_pipeline.api.access.hmac.compare_digest", spy)

    for secret in ("", "short", "ü" * 5000, CRON_SECRET):
        api.nobody.post(SWEEP, json={"cronSecret": secret})

    assert len(compared) == 4
    assert {(type(a), type(b)) for a, b in compared} == {(bytes, bytes)}
    assert {len(side) for pair in compared for side in pair} == {32}  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", ["", "   ", "short", "x" * 15])
def test_an_empty_or_short_secret_refuses_to_start(
    secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AUTO_PROMOTION_CRON_SECRET", secret)
    monkeypatch.setenv("AUTO_PROMOTION_HOME", str(tmp_path))

    with pytest.raises(ConfigError, match="AUTO_PROMOTION_CRON_SECRET"):
        serve()


def test_a_secret_of_blanks_is_no_secret() -> None:
    with pytest.raises(ConfigError, match="AUTO_PROMOTION_CRON_SECRET"):
        require_sound_secret(Settings(cron_secret=SecretStr(" " * 40)), {})


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_built() -> None:
    router = APIRouter(route_class=GuardedRoute)

    with pytest.raises(RuntimeError, match="does not say who may call it"):
        router.add_api_route("/open", lambda: None)


def with_token(api: Api, secret: str) -> httpx2.Client:
    return httpx2.Client(base_url=api.url, headers={"Authorization": f"Bearer {secret}"}, verify=TLS, timeout=60)


def test_a_token_that_speaks_for_people_puts_the_person_into_the_record_and_stands_beside_it(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    secret, _ = create_token(api.store, "shop-admin", "operator", "test", on_behalf=True)
    shop = with_token(api, secret)

    promoted = shop.post(PROMOTE, json={"userId": "someone", "promotedBy": "user-123"}).json()["data"]["promotion"]
    assert (promoted["promotedBy"], promoted["promotedThrough"], promoted["claimedBy"]) == (
        "user-123",
        "shop-admin",
        None,
    )
    undone = shop.request("DELETE", PROMOTE, json={"reason": "errors", "rolledBackBy": "user-9"})
    assert undone.json()["data"]["promotion"]["rolledBackThrough"] == "shop-admin"
    history = api.viewer.get("/api/monitoring/experiments/checkout/history").json()["data"]["latestPromotion"]
    assert (history["promotedBy"], history["rolledBackBy"]) == ("user-123", "user-9")
    assert (history["promotedThrough"], history["rolledBackThrough"]) == ("shop-admin", "shop-admin")
    acted = api.rows("SELECT actor, details #>> '{http,through}' AS through FROM promotion_audit ORDER BY id")
    assert acted == [{"actor": actor, "through": "shop-admin"} for actor in ("user-123", "user-9")]
    assert {row["actor"] for row in api.rows("SELECT actor FROM api_audit")} == {"shop-admin"}


@pytest.mark.parametrize("name", ["cron", "system", "dagster (run 1a2b3c)", "promotion_watch"])
def test_a_token_that_speaks_for_people_cannot_pass_for_the_system(api: Api, name: str) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    secret, _ = create_token(api.store, "shop-admin", "operator", "test", on_behalf=True)
    refused = with_token(api, secret).post(PROMOTE, json={"promotedBy": name})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-input")
    assert api.rows("SELECT 1 FROM experiment_promotions") == []


def test_a_token_that_only_reads_cannot_speak_for_people(api: Api) -> None:
    with pytest.raises(InputError, match="operator or admin, not viewer"):
        create_token(api.store, "shop", "viewer", "test", on_behalf=True)


def test_the_history_names_the_credential_and_keeps_what_the_body_said(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    promoted = api.operator.post(
        PROMOTE,
        json={"promotedBy": "ceo", "userId": "operator-token", "metadata": {"http": "forged", "ticket": "P-1"}},
        headers={"X-Request-ID": "req-1"},
    )
    api.operator.request("DELETE", PROMOTE, json={"reason": "errors", "rolledBackBy": "intern"}).raise_for_status()
    api.nobody.post(SWEEP, json={"cronSecret": CRON_SECRET, "userId": "admin-user-123"}).raise_for_status()

    record = promoted.json()["data"]["promotion"]
    assert (record["promotedBy"], record["claimedBy"], record["promotedThrough"]) == ("operator-token", "ceo", None)
    assert record["metadata"] == {"ticket": "P-1", "http": {"requestId": "req-1", "claimed": {"promotedBy": "ceo"}}}
    history = api.viewer.get("/api/monitoring/experiments/checkout/history").json()["data"]["latestPromotion"]
    assert (history["rolledBackBy"], history["rollbackClaimedBy"]) == ("operator-token", "intern")
    audited = api.rows(
        "SELECT actor, role, token_id, method, experiment_name, claims, status FROM api_audit ORDER BY id"
    )
    assert [(row["actor"], row["method"], row["claims"], row["status"]) for row in audited] == [
        ("operator-token", "POST", {"promotedBy": "ceo"}, 200),
        ("operator-token", "DELETE", {"rolledBackBy": "intern"}, 200),
        ("cron", "POST", {"userId": "admin-user-123"}, 200),
    ]
    assert isinstance(audited[0]["token_id"], UUID)
    assert audited[2]["token_id"] is None


def test_refused_writes_are_audited_too(api: Api) -> None:
    api.operator.post("/api/monitoring/experiments/nothing%00here/promote")
    api.viewer.post(PROMOTE)

    rows = api.rows("SELECT experiment_name, status, code FROM api_audit")
    assert rows == [{"experiment_name": "nothing\ufffdhere", "status": 422, "code": "invalid-input"}]


def test_the_audit_cannot_be_rewritten(api: Api) -> None:
    api.operator.post(PROMOTE)

    for statement in ("UPDATE api_audit SET actor = 'x'", "DELETE FROM api_audit", "TRUNCATE api_audit"):
        with pytest.raises(Exception, match="append-only"):
            api.rows(statement)


def test_every_answer_forbids_storing_it(shared_api: Api) -> None:
    answers: list[httpx2.Response] = [
        shared_api.viewer.get("/api/monitoring/approvals"),
        shared_api.nobody.get(PROMOTE),
    ]

    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
