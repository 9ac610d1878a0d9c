"""`traffic`: what is decided and served, and what is typed where the two differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.traffic.delivering import seed
from promotion_pipeline_tests.traffic.provider import TOKEN, Provider, provider_at_work


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider that the commands know by their environment."""
    with provider_at_work() as at_work:
        monkeypatch.setenv("AUTO_PROMOTION_UNLEASH_URL", at_work.url)
        monkeypatch.setenv("AUTO_PROMOTION_UNLEASH_TOKEN", TOKEN)
        yield at_work


def test_an_act_says_that_what_it_decided_is_served(store: Store, run: Run, provider: Provider) -> None:
    seed(store)
    promoted = run("promote", "x", "--by", "anna", "--yes")
    assert (promoted.code, "x: served: unleash says so" in promoted.err) == (0, True)
    assert provider.weights == {"control": 0, "treatment": 1000}
    listed = run("traffic", "--json")
    assert listed.code == 0
    assert listed.data[0]["state"] == "verified"
    assert listed.data[0]["served"] == listed.data[0]["decided"] == {"control": 0.0, "treatment": 100.0}


def test_a_conflict_is_said_listed_and_settled(store: Store, run: Run, provider: Provider) -> None:
    seed(store)
    provider.edit(300, 700)
    assert "NOT SERVED (conflicted)" in run("promote", "x", "--by", "anna", "--yes").err
    listed = run("traffic")
    assert listed.code == 1
    assert "mallory" in listed.out
    again = run("traffic", "overwrite", "x", "--reason", "a mistake", "--by", "anna", "--yes", "--json")
    assert (again.code, again.data["state"]) == (0, "verified")
    provider.edit(300, 700)
    assert run("traffic", "retry", "x").code == 4
    assert run("traffic", "adopt", "x", "--yes").code == 4
