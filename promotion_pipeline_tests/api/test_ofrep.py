"""Flags over the wire: an unmodified OpenFeature client, flagd's file, and the protocol's refusals."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from psycopg import sql
from psycopg.types.json import Jsonb

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline.traffic import kept
from promotion_pipeline.traffic.allocations import write_allocation
from promotion_pipeline.traffic.export import export_flags
from promotion_pipeline.traffic.kept import LOOK_SECONDS
from promotion_pipeline.traffic.serving import read_flags
from promotion_pipeline_tests.api.conftest import Api, StartApi
from promotion_pipeline_tests.seeding import WINNER, Seeded, VariantSpec, seed_experiment

FLAG = "checkout-button"
ONE = f"/ofrep/v1/evaluate/flags/{FLAG}"
ALL = "/ofrep/v1/evaluate/flags"
USER: dict[str, Any] = {"context": {"targetingKey": "user-1"}}
THREE = (
    VariantSpec("control", is_control=True, traffic="33.34", requests=10_000, conversions=1_000),
    VariantSpec("blue", traffic="33.33", requests=10_000, conversions=1_300),
    VariantSpec("green", traffic="33.33", requests=10_000, conversions=1_000),
)
USERS = [f"user-{number}" for number in range(1_000)]


def serve_by_flag(
    store: Store, seeded: Seeded, kind: str = "ofrep", flag: str = FLAG, *, is_second: bool = False
) -> None:
    with store.connect() as connection, connection.transaction():
        if is_second:
            # As from before one flag was one experiment's: the database refuses the second one now.
            connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            "UPDATE ab_experiments SET traffic_target = %s WHERE id = %s",
            [Jsonb({"kind": kind, "flag": flag}), seeded.id],
        )


def evaluator(api: Api) -> httpx2.Client:
    return api.as_role("evaluate")


def until(api: Api, path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The answer once it says what is wanted: the server looks at the database every second."""
    for _ in range(100):
        answer: dict[str, Any] = evaluator(api).post(path, json=USER).json()
        if wanted.items() <= answer.items():
            return answer
        time.sleep(LOOK_SECONDS / 10)
    raise AssertionError(f"{answer} never became {wanted}")


@pytest.fixture
def flagged(api: Api) -> Seeded:
    """An experiment of two variants behind a flag."""
    seeded = seed_experiment(api.store, "checkout", WINNER)
    serve_by_flag(api.store, seeded)
    return seeded


@pytest.fixture
def client(api: Api) -> Iterator[OpenFeatureClient]:
    """OpenFeature's own client on its own provider."""
    from openfeature import api as openfeature

    headers = {"Authorization": f"Bearer {api.secrets['evaluate']}"}
    openfeature.set_provider(OFREPProvider(api.url, headers_factory=lambda: headers))
    yield openfeature.get_client()
    openfeature.clear_providers()


def variants(client: OpenFeatureClient, users: list[str]) -> list[str]:
    def of(user: str) -> str:
        return client.get_string_value(FLAG, "default", EvaluationContext(targeting_key=user))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(of, users))


def variants_by_flagd(store: Store, folder: Path) -> list[str]:
    """What flagd's evaluator says from the file that is exported for it."""
    file = folder / "flags.json"
    with store.connect() as connection:
        export_flags(read_flags(connection), file)
    core = FlagdCore()
    core.set_flags(file.read_text())
    answers = [core.resolve_string_value(FLAG, "default", EvaluationContext(targeting_key=user)) for user in USERS]
    return [str(answer.value) for answer in answers]


def test_an_openfeature_client_splits_users_as_decided_and_as_flagd_does(
    api: Api, client: OpenFeatureClient, tmp_path: Path
) -> None:
    serve_by_flag(api.store, seed_experiment(api.store, "checkout", THREE))

    by_ofrep = variants(client, USERS)

    for variant, count in Counter(by_ofrep).items():
        share = {"control": 0.3334, "blue": 0.3333, "green": 0.3333}[variant]
        assert abs(count - share * len(USERS)) < 3 * (share * (1 - share) * len(USERS)) ** 0.5
    assert by_ofrep == variants_by_flagd(api.store, tmp_path)


def change_split(store: Store, seeded: Seeded, *, goes_back: bool = False, **percent: str) -> None:
    """Keep the list for a new split and write the split, as an act does."""
    split = {str(seeded.variant_ids[name]): Decimal(share) for name, share in percent.items()}
    with store.connect() as connection, connection.transaction():
        write_allocation(connection, seeded.id, split, goes_back=goes_back)
        for variant, share in split.items():
            connection.execute("UPDATE ab_variants SET traffic_percentage = %s WHERE id = %s", [share, variant])


def test_a_ramp_moves_users_to_the_winner_only_and_the_way_back_puts_every_user_back(api: Api, tmp_path: Path) -> None:
    seeded = seed_experiment(api.store, "checkout", THREE)
    serve_by_flag(api.store, seeded, "flagd")
    before = variants_by_flagd(api.store, tmp_path)

    change_split(api.store, seeded, control="15", blue="70", green="15")
    ramped = variants_by_flagd(api.store, tmp_path)
    change_split(api.store, seeded, goes_back=True, control="33.34", blue="33.33", green="33.33")

    moves = {pair for pair in zip(before, ramped, strict=True) if pair[0] != pair[1]}
    assert moves == {("control", "blue"), ("green", "blue")}
    assert variants_by_flagd(api.store, tmp_path) == before


def test_a_promotion_in_steps_moves_users_to_the_winner_only_and_its_rollback_puts_every_user_back(
    api: Api, tmp_path: Path
) -> None:
    seeded = seed_experiment(api.store, "checkout", THREE, promotion_config={"ramp_steps": [70, 100]})
    serve_by_flag(api.store, seeded)
    before = variants_by_flagd(api.store, tmp_path)

    promote_winner("checkout", "manual", "maria", store=api.store)
    ramped = variants_by_flagd(api.store, tmp_path)
    rollback_promotion("checkout", "errors", "maria", store=api.store)

    moves = {pair for pair in zip(before, ramped, strict=True) if pair[0] != pair[1]}
    assert {to for _, to in moves} == {"blue"}
    assert variants_by_flagd(api.store, tmp_path) == before


def test_the_answer_follows_the_experiment_from_its_split_to_the_promotion_and_back(
    api: Api, flagged: Seeded, client: OpenFeatureClient
) -> None:
    details = client.get_string_details(FLAG, "default", EvaluationContext(targeting_key="user-1"))
    assert (details.reason, details.variant) == (Reason.SPLIT, details.value)
    assert details.flag_metadata == {
        "experiment": "checkout",
        "experimentId": str(flagged.id),
        "standing": "running",
    }

    promote_winner("checkout", "manual", "maria", store=api.store)
    promoted = until(api, ONE, {"reason": "STATIC"})
    assert (promoted["value"], promoted["metadata"]["standing"]) == ("treatment", "promoted")

    rollback_promotion("checkout", "errors", "maria", store=api.store)
    back = until(api, ONE, {"reason": "SPLIT"})
    assert (back["value"], back["metadata"]["standing"]) == (details.value, "rolled_back")


def test_a_stopped_experiment_leaves_the_default_of_the_application(
    api: Api, flagged: Seeded, client: OpenFeatureClient
) -> None:
    api.rows("UPDATE ab_experiments SET is_active = false RETURNING id")

    details = client.get_string_details(FLAG, "default", EvaluationContext(targeting_key="user-1"))

    assert (details.value, details.reason, details.variant) == ("default", Reason.DISABLED, "control")
    assert details.error_code is None


def test_what_cannot_be_evaluated_is_told_as_the_client_expects_it(flagged: Seeded, client: OpenFeatureClient) -> None:
    unknown = client.get_string_details("no-such-flag", "default", EvaluationContext(targeting_key="user-1"))
    nobody = client.get_string_details(FLAG, "default", EvaluationContext())
    number = client.get_integer_details(FLAG, 7, EvaluationContext(targeting_key="user-1"))

    assert (unknown.value, unknown.error_code) == ("default", ErrorCode.FLAG_NOT_FOUND)
    assert (nobody.value, nobody.error_code) == ("default", ErrorCode.TARGETING_KEY_MISSING)
    assert (number.value, number.error_code) == (7, ErrorCode.TYPE_MISMATCH)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", "PARSE_ERROR"),
        (b"[" * 100_00, "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b"{}", "INVALID_CONTEXT"),
        (b'{"context": 7}', "INVALID_CONTEXT"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "\\ud800"}}', "INVALID_CONTEXT"),
    ],
)
@pytest.mark.parametrize("path", [ONE, ALL])
def test_a_body_that_cannot_be_evaluated_is_a_400_with_the_protocols_code(
    shared_api: Api, path: str, body: bytes, code: str
) -> None:
    answer = evaluator(shared_api).post(path, content=body)

    assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
    assert answer.json()["errorDetails"]
    assert answer.json().get("key") == (FLAG if path == ONE else None)


def test_all_flags_are_answered_at_once_and_304_while_nothing_changes_for_that_user(api: Api, flagged: Seeded) -> None:
    serve_by_flag(api.store, seed_experiment(api.store, "cart", WINNER), flag="cart")
    first = evaluator(api).post(ALL, json=USER)
    seen = {"If-None-Match": first.headers["etag"]}

    assert [flag["key"] for flag in first.json()["flags"]] == ["cart", FLAG]
    assert all({"value", "variant", "reason"} <= flag.keys() for flag in first.json()["flags"])
    unchanged = evaluator(api).post(ALL, json=USER, headers=seen)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    other = {"context": {"targetingKey": "user-2"}}
    assert evaluator(api).post(ALL, json=other, headers=seen).status_code == 200

    promote_winner("cart", "manual", "maria", store=api.store)
    until(api, f"{ALL}/cart", {"reason": "STATIC"})
    assert evaluator(api).post(ALL, json=USER, headers=seen).status_code == 200


def test_two_experiments_behind_one_flag_are_a_failure_that_names_both(api: Api, flagged: Seeded) -> None:
    serve_by_flag(api.store, seed_experiment(api.store, "second", WINNER), is_second=True)

    one = evaluator(api).post(ONE, json=USER)
    (flag,) = evaluator(api).post(ALL, json=USER).json()["flags"]

    assert (one.status_code, one.json()["errorCode"]) == (400, "GENERAL")
    assert "'checkout' and 'second'" in one.json()["errorDetails"]
    assert flag == one.json()


def test_flagd_gets_the_definition_once_and_304_until_it_changes(api: Api, flagged: Seeded) -> None:
    first = evaluator(api).get("/flagd/flags.json")

    assert first.json()["flags"][FLAG]["targeting"] == {"fractional": [["control", 5000], ["treatment", 5000]]} or (
        first.json()["flags"][FLAG]["targeting"] == {"fractional": [["treatment", 5000], ["control", 5000]]}
    )
    seen = {"If-None-Match": first.headers["etag"]}
    assert evaluator(api).get("/flagd/flags.json", headers=seen).status_code == 304


@pytest.mark.parametrize(
    ("role", "status"),
    [(None, 401), ("ingest", 403), ("evaluate", 200), ("viewer", 200), ("operator", 200), ("admin", 200)],
)
def test_who_may_evaluate(api: Api, flagged: Seeded, role: str | None, status: int) -> None:
    assert api.as_role(role).post(ONE, json=USER).status_code == status
    assert api.as_role(role).post(ALL, json=USER).status_code == status
    assert api.as_role(role).get("/flagd/flags.json").status_code == status


def test_a_token_may_come_as_an_api_key(api: Api, flagged: Seeded) -> None:
    right, wrong = ({"X-API-Key": key} for key in (api.secrets["evaluate"], "pp_wrong"))

    assert api.nobody.post(ONE, json=USER, headers=right).status_code == 200
    assert api.nobody.post(ONE, json=USER, headers=wrong).status_code == 401


def test_a_new_token_evaluates_at_once_and_a_revoked_one_a_second_later(api: Api, flagged: Seeded) -> None:
    assert evaluator(api).post(ONE, json=USER).status_code == 200
    secret, token = create_token(api.store, "shop", Role.EVALUATE, "tests")
    headers = {"Authorization": f"Bearer {secret}"}

    assert api.nobody.post(ONE, json=USER, headers=headers).status_code == 200
    api.rows("UPDATE api_tokens SET revoked_at = now(), revoked_by = 'x' WHERE id = %s RETURNING id", token.id)
    statuses: list[int] = []
    while 401 not in statuses and len(statuses) < 100:
        time.sleep(LOOK_SECONDS / 10)
        statuses.append(api.nobody.post(ONE, json=USER, headers=headers).status_code)

    assert statuses[-1] == 401


def test_an_evaluation_leaves_no_row_behind(api: Api, flagged: Seeded) -> None:
    before = api.rows("SELECT count(*) AS n FROM api_audit")

    assert evaluator(api).post(ONE, json=USER).status_code == 200

    assert api.rows("SELECT count(*) AS n FROM api_audit") == before


def test_a_token_that_asks_too_often_is_told_when_to_come_again(start_api: StartApi) -> None:
    api = start_api(evaluations_a_second=2)
    serve_by_flag(api.store, seed_experiment(api.store, "checkout", WINNER))

    answers = [evaluator(api).post(ONE, json=USER) for _ in range(20)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert api.viewer.post(ONE, json=USER).status_code == 200


def test_the_file_is_replaced_whole_and_left_alone_while_nothing_changes(
    api: Api, flagged: Seeded, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    with api.store.connect() as connection:
        served = read_flags(connection)

    assert export_flags(served, file)
    assert not export_flags(served, file)
    file.write_text("half a fil")
    assert export_flags(served, file)

    assert json.loads(file.read_bytes()) == evaluator(api).get("/flagd/flags.json").json()
    assert list(tmp_path.iterdir()) == [file]


def test_flags_are_still_answered_and_said_to_be_stale_while_the_database_is_down(
    api: Api, flagged: Seeded, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "STALE_SECONDS", 1.5)
    before = evaluator(api).post(ONE, json=USER).json()
    first = evaluator(api).post(ALL, json=USER)

    with database_down(api.store, server):
        while not (stale := evaluator(api).post(ONE, json=USER)).json()["metadata"].get("stale"):
            time.sleep(LOOK_SECONDS / 10)
        bulk = evaluator(api).post(ALL, json=USER, headers={"If-None-Match": first.headers["etag"]})
        unknown = api.nobody.post(ONE, json=USER, headers={"X-API-Key": "pp_unknown"})

    assert (stale.status_code, stale.json()["value"]) == (200, before["value"])
    assert "Stale" in stale.headers["warning"]
    assert (bulk.status_code, bulk.json()["metadata"]["stale"]) == (200, True)
    assert (unknown.status_code, list(unknown.json())) == (500, ["errorDetails"])
    assert api.store.url not in unknown.text
    while evaluator(api).post(ONE, json=USER).json() != before:
        time.sleep(LOOK_SECONDS / 10)


@contextmanager
def database_down(store: Store, server: EmbeddedServer) -> Iterator[None]:
    """Nobody gets a connection to the test's database, and who has one loses it."""
    name = sql.Identifier(store.url.rpartition("/")[2].partition("?")[0])
    with connect(server.url("postgres")) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [name.as_string().strip('"')],
        )
        yield
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
