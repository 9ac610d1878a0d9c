"""Errors, limits, request ids: what every route has in common."""

from __future__ import annotations

import http.client
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from promotion_pipeline.api.middleware import BODY_LIMIT_BYTES
from promotion_pipeline_tests.api.conftest import Api, StartApi
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, seed_experiment

EXPERIMENT = "/api/monitoring/experiments/checkout"
PROMOTE = f"{EXPERIMENT}/promote"
PROBLEM_FIELDS = {"success", "type", "title", "status", "detail", "instance", "code", "requestId"}


@pytest.mark.parametrize(
    ("role", "method", "path", "body", "status", "code"),
    [
        (None, "GET", PROMOTE, None, 401, "unauthenticated"),
        ("viewer", "POST", PROMOTE, None, 403, "forbidden"),
        ("viewer", "GET", "/api/monitoring/experiments/chekout/promote", None, 404, "not-found"),
        ("viewer", "GET", "/nowhere", None, 404, "not-found"),
        ("viewer", "PATCH", PROMOTE, None, 405, "method-not-allowed"),
        ("operator", "POST", PROMOTE, None, 409, "not-eligible"),
        ("operator", "POST", f"{EXPERIMENT}/rollback", {"reason": "x"}, 409, "nothing-to-roll-back"),
        ("operator", "POST", f"{EXPERIMENT}/approve", None, 409, "conflict"),
        ("operator", "POST", f"{EXPERIMENT}/release", None, 409, "conflict"),
        ("operator", "POST", f"{EXPERIMENT}/rollback", {}, 422, "invalid-input"),
        ("operator", "POST", PROMOTE, {"config": {"maxErrorRate": 5}}, 422, "invalid-configuration"),
    ],
)
def test_every_error_is_a_problem(
    api: Api, role: str | None, method: str, path: str, body: object, status: int, code: str
) -> None:
    seed_experiment(api.store, "checkout", NO_DIFFERENCE)

    answer = api.as_role(role).request(method, path, json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() - {"errors", "checks", "eligibility"} == PROBLEM_FIELDS
    assert ("checks" in problem) == (code == "not-eligible")
    assert problem["success"] is False
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(code)
    assert problem["instance"] == path
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"{", 422, "is no JSON"),
        (b'{"reason": "\xff"}', 400, "parsing"),
        (b"[]", 422, "must be a JSON object"),
        (b"", 422, "drops the body of a DELETE"),
        (b'{"reasn": "x"}', 422, "did you mean 'reason'"),
        (b'{"reason": ""}', 422, "reason"),
        (b'{"reason": "  "}', 422, "reason"),
        (b'{"reason": "a\\u0000b"}', 422, "NUL"),
        (b'{"reason": "\\ud800"}', 422, "reason"),
        (b'{"reason": 5}', 422, "reason"),
        (b'{"reason": "x", "to": "nowhere"}', 422, "'previous', 'control' or 'close'"),
        (b'{"reason": "x", "confirmDrift": "perhaps"}', 422, "confirmDrift"),
        (b'{"reason":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "parsing"),
    ],
)
def test_a_wrong_body_is_refused_and_explained(shared_api: Api, content: bytes, status: int, said: str) -> None:
    headers = {"Content-Type": "application/json"}

    answer = shared_api.operator.request("DELETE", PROMOTE, content=content, headers=headers)

    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"minSampelSize": 5}, "did you mean 'minSampleSize'"),
        ({"maxErrorRate": 5}, "5 % is written 0.05"),
        ({"minConfidenceLevel": "much"}, "minConfidenceLevel"),
        ({"rampSteps": [75]}, "end at 100"),
        ({"guardrails": "none"}, "guardrails"),
    ],
)
@pytest.mark.parametrize("route", [PROMOTE, "/api/monitoring/auto-promotion/check"])
def test_a_wrong_threshold_in_a_body_is_refused_and_explained(
    shared_api: Api, route: str, config: dict[str, object], said: str
) -> None:
    answer = shared_api.operator.post(route, json={"config": config})

    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text


@pytest.mark.parametrize("metadata", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a\\u0000": 1}', "[]", '"x"'])
def test_metadata_that_cannot_be_kept_is_refused(api: Api, metadata: str) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    content = f'{{"metadata": {metadata}}}'.encode()

    answer = api.operator.post(PROMOTE, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code in (400, 422), answer.text


def _body(size: int) -> bytes:
    return json.dumps({"reason": "x", "rolledBackBy": "y"}).encode().ljust(size)


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(shared_api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    route = f"{EXPERIMENT}/rollback"

    assert shared_api.operator.post(route, content=_body(BODY_LIMIT_BYTES), headers=headers).status_code == 404
    answer = shared_api.operator.post(route, content=_body(BODY_LIMIT_BYTES + 1), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert answer.headers["x-request-id"]


def test_a_body_that_is_not_declared_as_json_is_told_the_header_that_it_needs(shared_api: Api) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = shared_api.operator.post(f"{EXPERIMENT}/rollback", content=_body(100), headers=headers)

    assert (answer.status_code, "Content-Type: application/json" in answer.json()["detail"]) == (422, True), answer.text


def test_a_body_without_a_length_is_limited_as_well(shared_api: Api) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        content = _body(size)
        yield from (content[start : start + 1000] for start in range(0, size, 1000))

    headers = {"Content-Type": "application/json"}
    route = f"{EXPERIMENT}/rollback"

    assert shared_api.operator.post(route, content=chunks(BODY_LIMIT_BYTES), headers=headers).status_code == 404
    answer = shared_api.operator.post(route, content=chunks(BODY_LIMIT_BYTES + 1), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_an_endless_body_is_cut_off(shared_api: Api) -> None:
    address = urlsplit(shared_api.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.putrequest("POST", f"{EXPERIMENT}/rollback")
    connection.putheader("Authorization", f"Bearer {shared_api.secrets['operator']}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sent = 0
    try:
        while sent < 10_000_000:
            connection.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
            sent += 4096
    except OSError:
        pass
    assert connection.getresponse().status == 413
    assert sent < 10_000_000
    connection.close()


def test_the_request_id_is_echoed_and_made_where_there_is_none(shared_api: Api) -> None:
    given = shared_api.viewer.get(PROMOTE, headers={"X-Request-ID": "Trace_1.2-3"})
    made = {shared_api.viewer.get(PROMOTE).headers["x-request-id"] for _ in range(3)}

    assert given.headers["x-request-id"] == given.json()["requestId"] == "Trace_1.2-3"
    assert len(made) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", value) for value in made)


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        (b"a b\tc<script>", r"abcscript"),
        ("ünï".encode(), r"n"),
        (b"x" * 500, r"x{64}"),
        (b"\xff\xfe", r"[0-9a-f]{32}"),
    ],
)
def test_the_request_id_is_cleaned(shared_api: Api, given: bytes, echoed: str) -> None:
    answer = shared_api.viewer.get("/health", headers=[(b"X-Request-ID", given)])

    assert re.fullmatch(echoed, answer.headers["x-request-id"])


def test_the_log_has_one_line_a_request_and_no_query(shared_api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "promotion_pipeline.api"):
        shared_api.viewer.get(
            "/api/monitoring/experiments/a%09%C3%A4/promote?minSampleSize=4711", headers={"X-Request-ID": "id-1"}
        )
        shared_api.viewer.get("/health")

    (line,) = [record.getMessage() for record in caplog.records if "id-1" in record.getMessage()]
    assert re.fullmatch(r"id-1 GET /api/monitoring/experiments/a%09%C3%A4/promote 404 [\d.]+ms 'viewer-token'", line)


def test_an_unexpected_error_is_a_problem_that_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("promotion_pipeline.api.experiments.get_promotion_history", broken)

    answer = api.viewer.get(f"{EXPERIMENT}/history")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_nothing_outside_the_routes_is_served(start_api: StartApi) -> None:
    api = start_api()

    for path in ("/docs", "/redoc", "/openapi.json/", "/api", "/metrics", "/health/"):
        assert api.as_role("admin").get(path).status_code == 404, path
