"""Checks asked at once: each gets the answer that it would have got alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from promotion_pipeline.api.batching import CheckBatcher
from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import InputError, NotFoundError
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, WINNER, VariantSpec, seed_experiment

FEW = (VariantSpec("control", is_control=True, requests=10), VariantSpec("treatment", requests=10))
STRICT = PromotionConfig(min_sample_size=20_000)


def _rounded(value: Any) -> Any:
    """Without the last bits of a sum of latencies: rows that are read in another order are added in another order."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def test_everybody_gets_the_answer_that_one_alone_gets(store: Store) -> None:
    for name, variants in (("clear", WINNER), ("nothing", NO_DIFFERENCE), ("unproven", UNPROVEN)):
        seed_experiment(store, name, variants)
    seed_experiment(store, "broken", WINNER, promotion_config={"min_sample_size": -1})
    questions = [(name, config) for name in ("clear", "nothing", "unproven", "broken") for config in (None, STRICT)]
    alone = [check_promotion_eligibility(name, config, store=store) for name, config in questions]
    batcher = CheckBatcher(store)

    with ThreadPoolExecutor(24) as pool:
        together = list(pool.map(lambda question: batcher.check(question[0], question[1], None), questions * 3))

    assert [_rounded(one.model_dump()) for one in together] == [_rounded(one.model_dump()) for one in alone] * 3
    assert batcher._groups == {}


def test_those_who_wait_are_evaluated_in_one_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"experiment-{number}" for number in range(8)]
    for name in names:
        seed_experiment(store, name, FEW)
    batches: list[list[str]] = []
    first_is_at_work, everybody_waits = threading.Event(), threading.Event()

    def slow(where: Store, asked: list[str], *rest: Any) -> Any:
        batches.append(asked)
        if len(batches) == 1:
            first_is_at_work.set()
            assert everybody_waits.wait(60)
        return assess(where, asked, *rest)

    monkeypatch.setattr("promotion_pipeline.api.batching.assess", slow)
    batcher = CheckBatcher(store)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(batcher.check, names[0], None, None)
        assert first_is_at_work.wait(60)
        others = [pool.submit(batcher.check, name, None, None) for name in names[1:]]
        (group,) = batcher._groups.values()
        while len(group.waiting) < 7:
            threading.Event().wait(0.005)
        everybody_waits.set()
        found = [answer.result().experiment_name for answer in (first, *others)]

    assert found == names
    assert batches == [names[:1], names[1:]]


def test_a_batch_that_fails_harms_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_experiment(store, "clear", WINNER)

    def failing(*_: object) -> None:
        raise NotFoundError("somebody else's experiment was deleted meanwhile")

    monkeypatch.setattr("promotion_pipeline.api.batching.assess", failing)

    assert CheckBatcher(store).check("clear", None, None).is_eligible


@pytest.mark.parametrize(("name", "error"), [("none", NotFoundError), ("a\x00", InputError), ("", InputError)])
def test_a_wrong_name_is_refused_as_ever(store: Store, name: str, error: type[Exception]) -> None:
    batcher = CheckBatcher(store)
    with pytest.raises(error):
        batcher.check(name, None, None)
    assert batcher._groups == {}
