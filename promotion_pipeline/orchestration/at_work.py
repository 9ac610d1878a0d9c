"""What every step is executed within: the store, the meaning of its errors, and signs of life.

A run whose host died cannot say so. While a step is at work it says every few seconds that it lives; the launcher
asks for that (`run_launcher`), so that a dead run is failed and started again within minutes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import dagster as dg
import psycopg

from promotion_pipeline.errors import PromotionError
from promotion_pipeline.orchestration.failures import step_failures
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.signs_of_life import forget_sign, note_sign, this_worker
from promotion_pipeline.store.database import Store

SIGN_SECONDS = 15.0


@contextlib.contextmanager
def at_work(context: dg.OpExecutionContext | dg.AssetExecutionContext, store: StoreResource) -> Iterator[Store]:
    """The store, for as long as the step works; the product's errors become Dagster's, as `step_failures` says."""
    with step_failures(context):
        opened = store.get()
        with _alive(opened, context.run.run_id):
            yield opened


@contextlib.contextmanager
def _alive(store: Store, run_id: str) -> Iterator[None]:
    worker, is_over = this_worker(), threading.Event()

    def repeat() -> None:
        while not is_over.wait(SIGN_SECONDS):
            # The step itself meets a database that is down; the next sign comes in a moment.
            with contextlib.suppress(PromotionError, psycopg.Error):
                note_sign(store, run_id, worker)

    note_sign(store, run_id, worker)
    thread = threading.Thread(target=repeat, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        with contextlib.suppress(PromotionError, psycopg.Error):
            forget_sign(store, run_id, worker)
