"""`promotion-pipeline tokens`, and what a token must be."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from promotion_pipeline.api.tokens import Role, create_token, list_tokens, revoke_token, token_of
from promotion_pipeline.cli.tokens import tokens as tokens_app
from promotion_pipeline.errors import ConflictError, InputError, NotFoundError
from promotion_pipeline.store.database import Store


def test_a_token_is_made_listed_and_revoked(store: Store, store_environment: dict[str, str]) -> None:
    runner = CliRunner()

    made = runner.invoke(tokens_app, ["create", "maria", "--role", "operator", "--by", "tests"])
    secret = made.stdout.strip()
    token = token_of(store, secret)
    assert token is not None
    assert (token.name, token.role, token.created_by) == ("maria", Role.OPERATOR, "tests")

    listed = runner.invoke(tokens_app, ["list"])
    assert "maria" in listed.stdout
    assert secret not in listed.output

    runner.invoke(tokens_app, ["revoke", "maria", "--by", "tests"])
    assert token_of(store, secret) is None
    shown = json.loads(runner.invoke(tokens_app, ["list", "--json"]).stdout)
    assert (shown[0]["name"], shown[0]["revokedBy"]) == ("maria", "tests")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "cron", "Dagster", "auto-promotion (run 1)"])
def test_a_token_needs_a_name_that_is_a_persons_or_a_services(store: Store, name: str) -> None:
    with pytest.raises(InputError):
        create_token(store, name, Role.VIEWER, "tests")


@pytest.mark.parametrize(("role", "days"), [("root", None), ("viewer", 0), ("viewer", -1), ("viewer", float("nan"))])
def test_a_token_needs_a_known_role_and_a_sound_lifetime(store: Store, role: str, days: float | None) -> None:
    with pytest.raises(InputError):
        create_token(store, "maria", role, "tests", lifetime_days=days)


def test_two_live_tokens_never_have_one_name(store: Store) -> None:
    create_token(store, "maria", Role.VIEWER, "tests")
    with pytest.raises(ConflictError, match="revoke it first"):
        create_token(store, "maria", Role.ADMIN, "tests")

    revoke_token(store, "maria", "tests")
    create_token(store, "maria", Role.ADMIN, "tests")

    assert [token.role for token in list_tokens(store)] == [Role.ADMIN, Role.VIEWER]


def test_revoking_what_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(NotFoundError):
        revoke_token(store, "maria", "tests")


def test_no_two_tokens_are_alike(store: Store) -> None:
    secrets = {create_token(store, f"token-{number}", Role.VIEWER, "tests")[0] for number in range(5)}

    assert len(secrets) == 5


def test_each_role_of_people_includes_the_ones_before_it_and_one_of_applications_only_itself() -> None:
    included = {role: {other for other in Role if role.includes(other)} for role in Role}

    assert included == {
        Role.VIEWER: {Role.VIEWER, Role.EVALUATE},
        Role.OPERATOR: {Role.VIEWER, Role.EVALUATE, Role.OPERATOR},
        Role.ADMIN: set(Role),
        Role.INGEST: {Role.INGEST},
        Role.EVALUATE: {Role.EVALUATE},
    }
