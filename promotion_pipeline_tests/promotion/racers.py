"""What runs in another process: it must be importable there."""

from __future__ import annotations

from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.act.approvals import approve_promotion
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.record.faults import die_at
from promotion_pipeline.promotion.unattended.pending import apply_pending
from promotion_pipeline.store.database import Store


def store_of(url: str) -> Store:
    return Store(url, Settings(database_url=SecretStr(url)))


def promote_once(url: str, number: int, barrier: Barrier, answers: Queue[str]) -> None:
    """Wait for all the others, promote, and say what came of it."""
    barrier.wait(timeout=120)
    try:
        promote_winner("x", "auto", f"racer-{number}", store=store_of(url))
        answers.put("promoted")
    except PromotionError as error:
        answers.put(type(error).__name__)


def act_and_die(url: str, act: str, point: str) -> None:
    """Do one act and be killed at a point of it."""
    store = store_of(url)
    with store.connect() as connection:
        row = connection.execute("SELECT id FROM ab_experiments WHERE name = 'x'").fetchone()
    assert row is not None
    die_at(point)
    if act == "apply":
        apply_pending(store, row["id"], "sensor")
    elif act == "approve":
        approve_promotion("x", "anna", store=store)
    else:
        rollback_promotion("x", "errors", "anna", store=store)
