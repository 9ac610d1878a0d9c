"""The specification's examples in snake_case, the docstrings' examples, and the public names."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import promotion_pipeline
from promotion_pipeline.promotion.record import transaction
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, VariantSpec, seed_experiment

SPECIFIED = (
    VariantSpec("control", is_control=True, requests=10_000, conversions=1_000),
    VariantSpec("variant-a", requests=10_000, conversions=1_300),
)
PACKAGE = Path(promotion_pipeline.__file__).parent


@pytest.fixture
def environment_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that a caller without `store=` acts on."""
    assert store.settings.database_url is not None
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", store.settings.database_url.get_secret_value())
    return store


def test_the_four_examples_of_the_specification_run(
    environment_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    from promotion_pipeline import (
        auto_check_promotions,
        check_promotion_eligibility,
        promote_winner,
        rollback_promotion,
    )

    seed_experiment(environment_store, "reality-lens-v2", SPECIFIED)

    eligibility = check_promotion_eligibility("reality-lens-v2")
    if eligibility.is_eligible:
        print(f"Winner: {eligibility.winner}")
        print(f"Confidence: {eligibility.confidence:.2f}%")
    else:
        print("Not eligible:", eligibility.reasons)

    promotion = promote_winner("reality-lens-v2", "manual", "user-123")
    print(f"Promoted: {promotion.promoted_variant_name}")

    results = auto_check_promotions("admin-user-123")
    print(f"Checked: {results.checked}")
    print(f"Promoted: {results.promoted}")

    rollback_promotion("reality-lens-v2", "Increased error rate detected", "user-123")
    said = capsys.readouterr().out.splitlines()
    assert said == ["Winner: variant-a", "Confidence: 100.00%", "Promoted: variant-a", "Checked: 0", "Promoted: 0"]


@pytest.mark.parametrize(
    "path",
    [
        "judge.check",
        "act.promote",
        "act.rollback",
        "act.holds",
        "history.history",
        "act.approvals",
        "unattended.sweep",
    ],
)
def test_the_examples_in_the_docstrings_run(environment_store: Store, path: str) -> None:
    store, module = environment_store, path.rpartition(".")[2]
    seed_experiment(store, "reality-lens-v2", SPECIFIED if module != "sweep" else NO_DIFFERENCE)
    if module in {"rollback", "holds", "history"}:
        promotion_pipeline.promote_winner("reality-lens-v2", "manual", "anna", store=store)
    if module == "holds":
        promotion_pipeline.rollback_promotion("reality-lens-v2", "errors", "anna", store=store)
    if module == "approvals":
        for name in ("pricing-page", "checkout-button"):
            seed_experiment(store, name, UNPROVEN)
        auto_check_promotions("cron", store=store)
    found = doctest.testmod(importlib.import_module(f"promotion_pipeline.promotion.{path}"))
    assert (found.failed, found.attempted > 0) == (0, True)


def test_every_public_name_can_be_imported_and_nothing_else_is_public() -> None:
    for name in promotion_pipeline.__all__:
        assert getattr(promotion_pipeline, name).__name__ == name
    assert dir(promotion_pipeline) == sorted(promotion_pipeline.__all__)
    with pytest.raises(AttributeError, match="no attribute 'judge'"):
        promotion_pipeline.judge  # noqa: B018


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, promotion_pipeline; sys.exit('pandas' in sys.modules or 'psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_lifecycle_reads_no_clock_of_the_host() -> None:
    """Runtime, freshness, expiry and ramps come from the database, so that a skewed host decides nothing."""
    clocks = {"now", "utcnow", "today", "time", "time_ns", "monotonic"}
    for path in (PACKAGE / "promotion").glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
        assert not names & clocks, path.name
    assert transaction.LOCK_SECONDS > 0


def test_no_secret_is_shown_by_what_the_api_returns_or_raises(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-e3b0c44298fc"
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", f"postgresql://user:{canary}@127.0.0.1:1/none")
    monkeypatch.setenv("AUTO_PROMOTION_CRON_SECRET", canary)
    with pytest.raises(promotion_pipeline.DependencyError) as caught:
        promotion_pipeline.check_promotion_eligibility("x")
    assert canary not in str(caught.value)
    assert canary not in repr(caught.value.__dict__)
    assert store.url not in repr(store)
