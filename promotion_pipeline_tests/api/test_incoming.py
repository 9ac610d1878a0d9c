"""Requests and events in: what is taken, what is told of what is not, and that a batch may be sent twice."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from promotion_pipeline.rollups.postgresql.forgetting import forget_user
from promotion_pipeline.traffic import sent as sent_before
from promotion_pipeline_tests.api.conftest import Api, StartApi
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

REQUESTS, EVENTS = "/api/monitoring/requests", "/api/monitoring/events"
EMPTY = (VariantSpec("control", is_control=True), VariantSpec("treatment"))
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def seeded(api: Api) -> Seeded:
    """An experiment without requests."""
    return seed_experiment(api.store, "checkout", EMPTY)


def request(**more: object) -> dict[str, Any]:
    return {"id": str(uuid4()), "experiment": "checkout", "variant": "control", **more}


def event(**more: object) -> dict[str, Any]:
    return {"id": str(uuid4()), "experiment": "checkout", "userId": "u-1", "name": "purchase", **more}


def sent(api: Api, path: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    answer = api.as_role("ingest").post(path, json=rows)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    assert data["accepted"] + data["repeated"] + data["rejected"] == len(rows)
    return data


def test_requests_are_logged_as_they_were_sent(api: Api, seeded: Seeded) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    full = request(userId="u-1", createdAt=at.isoformat(), latencyMs=12.5, isError=True, converted=True, value="9.99")
    by_ids = {
        "id": str(uuid4()),
        "experimentId": str(seeded.id),
        "variantId": str(seeded.variant_ids["treatment"]),
    }

    assert sent(api, REQUESTS, [full, by_ids])["accepted"] == 2

    (row,) = api.rows("SELECT * FROM ai_requests WHERE id = %s", full["id"])
    assert row == {
        "id": row["id"],
        "experiment_id": seeded.id,
        "variant_id": seeded.variant_ids["control"],
        "user_id": "u-1",
        "created_at": at,
        "latency_ms": 12.5,
        "is_error": True,
        "converted": True,
        "value": Decimal("9.99"),
    }
    (other,) = api.rows("SELECT * FROM ai_requests WHERE id = %s", by_ids["id"])
    assert other["variant_id"] == seeded.variant_ids["treatment"]
    assert (other["user_id"], other["is_error"], other["converted"]) == (None, False, False)


@pytest.mark.parametrize(("path", "row"), [(REQUESTS, request), (EVENTS, event)])
def test_a_batch_that_is_sent_again_changes_nothing(api: Api, seeded: Seeded, path: str, row: Any) -> None:
    rows = [row(value=number) for number in range(100)]
    table = "ai_requests" if path == REQUESTS else "ai_events"
    assert sent(api, path, rows)["accepted"] == 100
    before = api.rows(f"SELECT * FROM {table} ORDER BY id")

    again = sent(api, path, [*rows[50:], row(), *rows[:50], rows[0]])

    assert (again["accepted"], again["repeated"]) == (1, 101)
    assert len(before) == 100
    assert [kept for kept in api.rows(f"SELECT * FROM {table} ORDER BY id") if kept in before] == before


@pytest.mark.parametrize(("path", "row"), [(REQUESTS, request), (EVENTS, event)])
def test_one_batch_sent_by_many_at_once_is_taken_once(api: Api, seeded: Seeded, path: str, row: Any) -> None:
    rows = [row() for _ in range(300)]

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda turn: sent(api, path, rows[turn:] + rows[:turn]), range(0, 300, 50)))

    assert sum(one["accepted"] for one in taken) == 300
    assert sum(one["repeated"] for one in taken) == 1_500


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "no uuid"}, "id: "),
        ({"experiment": "no such"}, "there is no experiment 'no such'"),
        ({"experiment": None}, "experiment (its name) or experimentId"),
        ({"variant": "no such"}, "no variant 'no such'"),
        ({"createdAt": "2026-03-01T12:00:00"}, "createdAt: Input should have timezone info"),
        ({"createdAt": 1_700_000_000}, "createdAt: must be text"),
        ({"createdAt": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "ahead of the database's clock"),
        ({"createdAt": "1999-01-01T00:00:00Z"}, "before 2000-01-01"),
        ({"latencyMs": -1}, "latencyMs: "),
        ({"converted": "yes"}, "converted: "),
        ({"userId": "nul\x00"}, "userId: "),
        ({"userId": ""}, "userId: "),
        ({"variantID": "x"}, "variantID: is not known"),
        ({"value": "1e-16384"}, "value: "),
        ({"value": "0." + "1" * 17_000}, "value: "),
        ({"value": 10**200}, "value: "),
        ({"userId": 7}, "userId: "),
        ({"userId": {"a": 1}}, "userId: "),
        ({"variantId": str(uuid4())}, "variant (its name) or variantId"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_with_its_reason_and_stops_no_other(
    api: Api, seeded: Seeded, change: dict[str, Any], reason: str
) -> None:
    data = sent(api, REQUESTS, [request(), request(**change), request()])

    (rejected,) = data["reasons"]
    assert data["accepted"] == 2
    assert rejected["row"] == 1
    assert reason in rejected["reason"]


def test_numbers_that_are_none_and_lines_that_are_no_json_are_rejected_one_by_one(api: Api, seeded: Seeded) -> None:
    lines = [
        json.dumps(request()),
        '{"id": ',
        "[1]",
        json.dumps(request(value=7)).replace("7}", "NaN}"),
        json.dumps(request(value=7)).replace("7}", "1e400}"),
        "",
        json.dumps(request(userId="ünïcode \ud83d\ude00")),
    ]

    answer = api.as_role("ingest").post(REQUESTS, content="\n".join(lines).encode(), headers=LINES)

    data = answer.json()["data"]
    assert (data["accepted"], [row["row"] for row in data["reasons"]]) == (2, [1, 2, 3, 4])


def test_what_is_read_as_a_whole_is_what_is_read_row_by_row(api: Api, seeded: Seeded) -> None:
    odd: list[dict[str, object]] = [
        {"userId": "tab\t newline\n return\r backslash\\ \\N \\. {} \u2028 \U0001f600"},
        {"userId": "\\N", "value": "1E+50", "latencyMs": 1e-300},
        {"value": 0.1, "latencyMs": "12.5", "createdAt": "2026-03-01T12:00:00.123456-08:00"},
        {"value": "-0.000", "isError": True, "createdAt": "2026-03-01 12:00:00+05:30"},
        {"variant": None, "variantId": str(seeded.variant_ids["treatment"]).upper(), "converted": True},
        {"experiment": None, "experimentId": str(seeded.id)},
    ]
    as_whole = [request(**change) for change in odd]
    one_by_one = [row | {"id": str(uuid4())} for row in as_whole]

    assert sent(api, REQUESTS, as_whole)["accepted"] == len(odd)
    # A wrong row among them: then each is judged by itself.
    assert sent(api, REQUESTS, [*one_by_one, {}])["accepted"] == len(odd)

    for left, right in zip(as_whole, one_by_one, strict=True):
        found = [api.rows("SELECT * FROM ai_requests WHERE id = %s", row["id"])[0] for row in (left, right)]
        if "createdAt" not in left:
            found = [row | {"created_at": None} for row in found]
        assert found[0] | {"id": None} == found[1] | {"id": None}
        if left.get("userId") is not None:
            assert found[0]["user_id"] == left["userId"]


def test_an_id_is_the_same_however_it_is_spelled_and_whatever_else_the_row_says(api: Api, seeded: Seeded) -> None:
    key = uuid4()
    spelled = [str(key), str(key).upper(), key.hex, f"urn:uuid:{key}"]

    data = sent(api, REQUESTS, [request(id=text, userId=f"u-{place}") for place, text in enumerate(spelled)])
    again = sent(api, REQUESTS, [request(id=str(key).upper(), userId="somebody else", converted=True)])

    assert (data["accepted"], data["repeated"], again["repeated"]) == (1, 3, 1)
    assert api.rows("SELECT user_id, converted FROM ai_requests") == [{"user_id": "u-0", "converted": False}]


def test_lines_that_are_rows_only_together_are_no_rows(api: Api, seeded: Seeded) -> None:
    row = json.dumps(request())
    lines = [row[: row.index(",")], row[row.index(",") + 1 :], f"{json.dumps(request())},{json.dumps(request())}"]

    answer = api.as_role("ingest").post(REQUESTS, content="\n".join(lines).encode(), headers=LINES)

    assert (answer.json()["data"]["accepted"], answer.json()["data"]["rejected"]) == (0, 3)


def test_a_line_that_is_no_utf_8_stops_no_other_and_a_body_that_is_none_is_refused(api: Api, seeded: Seeded) -> None:
    lines = [json.dumps(request()).encode(), json.dumps(request(userId="?")).encode().replace(b"?", b"\xff")]

    answer = api.as_role("ingest").post(REQUESTS, content=b"\n".join(lines), headers=LINES)
    whole = api.as_role("ingest").post(REQUESTS, content=b"[" + lines[1] + b"]")

    assert [row["row"] for row in answer.json()["data"]["reasons"]] == [1]
    assert (whole.status_code, whole.json()["code"]) == (400, "malformed-request")


def test_a_body_that_is_compressed_is_refused(api: Api, seeded: Seeded) -> None:
    body = gzip.compress(json.dumps([request()]).encode())

    answer = api.as_role("ingest").post(REQUESTS, content=body, headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 415
    assert "compress" in answer.json()["detail"]


def test_an_outcome_finds_the_request_that_was_sent_before(api: Api, seeded: Seeded) -> None:
    first, second = request(latencyMs=5), request(value=1)
    sent(api, REQUESTS, [first, second])
    outcomes = [
        {"requestId": first["id"], "converted": True},
        {"requestId": first["id"], "value": 12.5},
        {"requestId": second["id"], "value": 1},
        {"requestId": str(uuid4()), "converted": True},
        {"requestId": first["id"]},
    ]

    data = sent(api, EVENTS, outcomes)

    assert [row["row"] for row in data["reasons"]] == [3, 4]
    (row,) = api.rows("SELECT converted, value, latency_ms FROM ai_requests WHERE id = %s", first["id"])
    assert row == {"converted": True, "value": Decimal("12.5"), "latency_ms": 5}
    assert sent(api, EVENTS, outcomes[:3])["accepted"] == 0


def test_ten_thousand_rows_are_taken_at_once_and_one_more_is_refused(api: Api, seeded: Seeded) -> None:
    rows = [request(userId=f"u-{number}", latencyMs=number) for number in range(10_000)]

    assert sent(api, REQUESTS, rows)["accepted"] == 10_000
    answer = api.as_role("ingest").post(REQUESTS, json={"requests": [*rows, request()]})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")
    assert api.rows("SELECT count(*) AS n FROM ai_requests") == [{"n": 10_000}]


@pytest.mark.parametrize("body", [b"no json", b"{}", b'{"events": []}', b"7", b'{"requests": {}}'])
def test_a_body_that_holds_no_rows_is_refused_whole(shared_api: Api, body: bytes) -> None:
    assert shared_api.as_role("ingest").post(REQUESTS, content=body).status_code in (400, 422)


def test_requests_that_nothing_would_read_are_refused(start_api: StartApi, tmp_path: Path) -> None:
    source = tmp_path / "source.toml"
    source.write_text(f'engine = "duckdb"\nfiles = "{tmp_path}/*.parquet"\n')
    api = start_api(source=source)
    seed_experiment(api.store, "checkout", EMPTY)

    answer = api.as_role("ingest").post(REQUESTS, json=[request()])

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert sent(api, EVENTS, [event()])["accepted"] == 1


def test_a_table_of_a_teams_own_that_takes_no_such_rows_says_so(api: Api, seeded: Seeded) -> None:
    with api.store.connect() as connection:
        connection.execute("ALTER TABLE ai_requests ADD COLUMN region text CHECK (region IS NOT NULL)")

    answer: httpx2.Response = api.as_role("ingest").post(REQUESTS, json=[request()])

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "table of your own" in answer.json()["detail"]
    assert api.rows("SELECT count(*) AS n FROM sent_requests") == [{"n": 0}]


def test_outcomes_for_a_table_whose_ids_are_numbers_are_refused_in_words(api: Api, seeded: Seeded) -> None:
    with api.store.connect() as connection:
        connection.execute("ALTER TABLE ai_requests ALTER id DROP DEFAULT, ALTER id TYPE bigint USING 0")

    answer = api.as_role("ingest").post(EVENTS, json=[{"requestId": str(uuid4()), "converted": True}])

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "table of your own" in answer.json()["detail"]


def test_ids_of_old_requests_are_forgotten(api: Api, seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_before, "FORGET_SECONDS", 0.0)
    sent(api, REQUESTS, [request() for _ in range(3)])
    api.rows("UPDATE sent_requests SET received_at = now() - interval '36 days' RETURNING id")

    sent(api, REQUESTS, [request()])

    assert api.rows("SELECT count(*) AS n FROM sent_requests") == [{"n": 1}]


def test_a_batch_leaves_no_row_in_the_audit(api: Api, seeded: Seeded) -> None:
    before = api.rows("SELECT count(*) AS n FROM api_audit")

    sent(api, REQUESTS, [request()])

    assert api.rows("SELECT count(*) AS n FROM api_audit") == before


def test_a_user_who_is_forgotten_is_forgotten_in_events(api: Api, seeded: Seeded) -> None:
    sent(api, EVENTS, [event(userId="u-1"), event(userId="u-2")])

    assert forget_user(api.store, "u-1").rows["ai_events"] == 1

    users = {row["user_id"] for row in api.rows("SELECT user_id FROM ai_events")}
    assert "u-2" in users
    assert "u-1" not in users
