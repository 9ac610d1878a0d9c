"""The demo through the real graph: first alone, then again beside somebody else's experiment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np
import pytest

from promotion_pipeline.demo.experiments import DEFAULT_REQUESTS, DEMO_EXPERIMENTS, FEWEST_REQUESTS
from promotion_pipeline.demo.generate import generate, request_counts
from promotion_pipeline.demo.run import run_demo
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import spawn
from promotion_pipeline_tests.seeding import count, seed_experiment, split_of

REQUESTS = 100_000
ENDINGS = {
    "demo-checkout-button": ("eligible", "promoted"),
    "demo-search-ranking": ("eligible", "promoted, rolled back"),
    "demo-banner-colour": ("not_yet", "keeps running"),
    "demo-new-onboarding": ("not_yet", "keeps running"),
    "demo-fast-answers": ("rejected", "keeps running"),
    "demo-price-page": ("eligible", "awaiting approval"),
    "demo-email-subject": ("eligible", "awaiting approval"),
    "demo-payment-form": ("eligible", "awaiting approval"),
}


@contextlib.contextmanager
def silent(_title: str) -> Iterator[Callable[[float], None]]:
    yield lambda fraction: None


def test_the_demo_promotes_asks_and_rolls_back_and_does_so_again(
    store: Store, store_environment: dict[str, str]
) -> None:
    done = spawn("demo", "--requests", str(REQUESTS), "--json", environment=store_environment)
    assert done.code == 0, done.err
    endings = {row["name"]: (row["verdict"], row["outcome"]) for row in done.data["experiments"]}
    assert endings.items() >= ENDINGS.items()
    assert {promotion["promotionType"] for promotion in done.data["promotions"]} == {"auto"}
    assert done.data["rolledBack"]["state"] == "rolled_back"
    with open_instance(store) as instance:
        runs = {run_id: instance.get_run_by_id(run_id) for run_id in done.data["runs"]}
    jobs = [run.job_name for run in runs.values() if run is not None and run.is_success]
    assert jobs == ["hourly_promotion_job", "apply_promotion_job"]
    assert spawn("check", "demo-email-subject", environment=store_environment).code == 0

    foreign = seed_experiment(store, "demo-of-somebody-else")
    with pytest.raises(ConflictError, match="demo-of-somebody-else"):
        run_demo(store, REQUESTS, force=False, step=silent)
    again = run_demo(store, REQUESTS, force=True, step=silent)
    assert {row.name: (row.verdict, row.outcome) for row in again.rows}.items() >= ENDINGS.items()
    assert split_of(store, foreign) == {"control": Decimal(50), "treatment": Decimal(50)}
    assert count(store, "SELECT count(*) FROM ai_requests WHERE experiment_id = %s", foreign.id) == 20_000
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE experiment_id = %s", foreign.id) == 0
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 4
    assert count(store, "SELECT count(*) FROM ab_experiments WHERE is_active AND name LIKE 'demo-%%'") == 8 + 1


def test_a_name_that_somebody_else_uses_is_refused_even_by_force(store: Store) -> None:
    seeded = seed_experiment(store, "demo-checkout-button")
    with pytest.raises(ConflictError, match="rename it first"):
        run_demo(store, REQUESTS, force=True, step=silent)
    assert split_of(store, seeded)["treatment"] == 50


def test_the_same_seed_gives_the_same_requests() -> None:
    experiment = DEMO_EXPERIMENTS[1]
    first, second = (generate(experiment, 5_000, 14 * 86_400.0) for _ in range(2))
    assert np.array_equal(first.arm, second.arm)
    assert np.array_equal(first.converted, second.converted)
    assert np.array_equal(first.second, second.second)
    assert first.second.min() >= 0
    assert first.second.max() < 14 * 86_400.0


def test_the_default_demo_has_eight_experiments_and_half_a_million_requests() -> None:
    assert len(DEMO_EXPERIMENTS) >= 8
    assert sum(request_counts(DEFAULT_REQUESTS).values()) >= 500_000
    assert min(request_counts(FEWEST_REQUESTS).values()) >= 2_000
    for experiment in DEMO_EXPERIMENTS:
        assert sum(arm.traffic for arm in experiment.arms) == 100
