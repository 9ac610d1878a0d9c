"""`approvals`: what waits for a person, since when, and who may answer."""

from __future__ import annotations

from promotion_pipeline.api.tokens import create_token, revoke_token
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, let_time_pass, seed_experiment


def ask_about(store: Store, *names: str) -> None:
    for name in names:
        seed_experiment(store, name, UNPROVEN)
        auto_check_promotions("cron", store=store)


def test_open_approvals_are_listed_with_their_numbers_the_oldest_first(store: Store, run: Run) -> None:
    ask_about(store, "banner", "about us")
    first, second = run("approvals", "--json").data
    assert (first["experimentName"], second["experimentName"]) == ("banner", "about us")
    assert first["candidateVariantName"] == "treatment"
    assert round(first["improvement"], 2) == 9.5
    assert 97 < first["confidence"] < 98
    assert first["sampleSize"] == 10_000
    assert first["state"] == "awaiting_approval"
    assert first["requestedAt"] < second["requestedAt"] < first["expiresAt"]
    shown = run("approvals")
    assert all(text in shown.out for text in ("banner", "about us", "treatment", "+9.50 %", "10,000", "evidence"))
    assert "approve banner" in shown.err


def test_who_may_answer_are_the_live_tokens_of_operators_and_admins(store: Store, run: Run) -> None:
    ask_about(store, "banner")
    for name, role in (("vera", "viewer"), ("otto", "operator"), ("ada", "admin"), ("gone", "operator")):
        create_token(store, name, role, "tests")
    revoke_token(store, "gone", "tests")
    assert run("approvals", "--json").data[0]["mayAnswer"] == ["ada", "otto"]
    assert "may answer: ada (admin), otto (operator)" in run("approvals").err


def test_answered_and_expired_requests_are_not_listed(store: Store, run: Run) -> None:
    seed_experiment(store, "plain winner", WINNER)
    ask_about(store, "banner")
    old = seed_experiment(store, "old", UNPROVEN)
    auto_check_promotions("cron", store=store)
    let_time_pass(store, old, 169)
    assert run("decline", "banner", "--reason", "no", "--by", "otto").code == 0
    assert run("approvals", "--json").data == []
    nothing = run("approvals")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing waits for approval.\n")


def test_a_check_of_what_waits_says_how_to_answer(store: Store, run: Run) -> None:
    ask_about(store, "banner")
    assert "approve banner" in run("check", "banner").err
