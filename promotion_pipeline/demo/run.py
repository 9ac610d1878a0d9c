"""The demo from an open store to its result: seed, decide, promote, roll one back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from dagster import ExecuteInProcessResult

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.demo.experiments import DEMO_EXPERIMENTS, ROLLED_BACK
from promotion_pipeline.demo.load import Seeded, foreign_experiments, require_own_database, retire_earlier_demo, seed
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.evaluation import explain
from promotion_pipeline.orchestration.in_process import AS_SCHEDULED, InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.orchestration.names import APPLY_JOB, EVALUATION_OP, HOURLY_JOB
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.promotion.act.approvals import open_approvals
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

Step = Callable[[str], AbstractContextManager[Callable[[float], None]]]
"""Shows a titled step while its body runs; yields a function that takes the fraction done."""

ACTOR = "demo"
ATTEMPTS = 3
STATEMENT_MS = 600_000


@dataclass(frozen=True)
class DemoRow:
    """What became of one experiment."""

    name: str
    story: str
    verdict: str
    why: str
    outcome: str
    """`promoted`, `promoted, rolled back`, `awaiting approval` or `keeps running`."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo did."""

    requests: int
    as_of: datetime
    rows: tuple[DemoRow, ...]
    promotions: tuple[Promotion, ...]
    """Made by the apply job that the sensor launched."""
    rolled_back: Promotion
    run_ids: tuple[str, ...]
    """Runs of the Dagster instance."""


def run_demo(store: Store, requests: int, *, force: bool, step: Step) -> DemoResult:
    """Seed the demo's experiments, let the graph decide and promote, roll one promotion back.

    Raises:
        ConflictError: the database holds experiments that are not the demo's, and `force` is not set.
        PromotionError: a run failed.
    """
    with store.connect() as connection:
        require_own_database(connection, force=force)
    with step("Write the experiments and their requests") as advance:
        with store.connect() as connection:
            retire_earlier_demo(connection)
        seeded = seed(store, requests, advance)
    with contextlib.ExitStack() as stack:
        with step("Open the Dagster instance and load the graph"):
            instance = stack.enter_context(open_instance(store))
            # Keeps its connection, where Dagster would open two for each of the events of 336 hours.
            instance.optimize_for_webserver(STATEMENT_MS, pool_recycle=3600, max_overflow=20)
            graph = InProcess(instance, store)
        as_of, run_ids = _decide_and_promote(store, graph, seeded, step)
        with step(f"Roll back {ROLLED_BACK}"):
            rolled_back = rollback_promotion(ROLLED_BACK, "the demo shows a rollback", ACTOR, store=store)
    return DemoResult(
        requests=seeded.requests,
        as_of=as_of,
        rows=tuple(_rows(store, seeded, as_of)),
        promotions=tuple(p for name in seeded.experiment_ids for p in get_promotion_history(name, store=store)),
        rolled_back=rolled_back,
        run_ids=run_ids,
    )


def _decide_and_promote(store: Store, graph: InProcess, seeded: Seeded, step: Step) -> tuple[datetime, tuple[str, ...]]:
    """Materialize the hours and apply what the sensor asks for; again if an hour ended meanwhile."""
    with store.connect() as connection:
        is_shared = bool(foreign_experiments(connection))
    start, run_ids = seeded.start, []
    for _ in range(ATTEMPTS):
        as_of = _newest(store)
        if start < as_of:
            with step(f"Materialize {(as_of - start).total_seconds() / 3600:.0f} hours in one run"):
                run_ids.append(_materialize(graph, start, as_of, seeded, is_shared=is_shared).run_id)
        with step("Tick the sensor and run the apply job that it launches"):
            applied = _apply(graph, seeded, is_shared=is_shared)
        if applied is not None:
            run_ids.append(applied.run_id)
            if _newest(store) == as_of:
                return as_of, tuple(run_ids)
        start = as_of
    raise PromotionError("the sensor found nothing to promote: run the demo again, or look at `promotion-pipeline dev`")


def _materialize(
    graph: InProcess, start: datetime, end: datetime, seeded: Seeded, *, is_shared: bool
) -> ExecuteInProcessResult:
    if not is_shared:
        return graph.run_hours(start, end)
    only = {"experiments": list(seeded.experiment_ids)}
    tags = range_tags(start, end) | AS_SCHEDULED
    return graph.run_job(HOURLY_JOB, config={"ops": {EVALUATION_OP: {"config": only}}}, tags=tags)


def _apply(graph: InProcess, seeded: Seeded, *, is_shared: bool) -> ExecuteInProcessResult | None:
    """The sensor asks for everything that waits; beside other people's experiments only the demo's are acted upon."""
    if not is_shared:
        return graph.tick_sensor()
    only = {"experiments": list(seeded.experiment_ids)}
    return graph.run_job(APPLY_JOB, config={"ops": {"apply_promotions": {"config": only}}})


def _newest(store: Store) -> datetime:
    with store.connect() as connection:
        return newest_complete_hour(connection)


def _rows(store: Store, seeded: Seeded, as_of: datetime) -> list[DemoRow]:
    waiting = {approval.experiment_name for approval in open_approvals(store)}
    with store.connect() as connection:
        decided = connection.execute(
            "SELECT * FROM eligibility_decisions WHERE as_of = %s AND label = %s AND experiment_id = ANY(%s)",
            [as_of, record_label(store.settings), list(seeded.experiment_ids.values())],
        ).fetchall()
    by_id = {row["experiment_id"]: row for row in decided}
    rows = []
    for experiment in DEMO_EXPERIMENTS:
        decision = by_id[seeded.experiment_ids[experiment.name]]
        explanation = explain(decision)
        why = explanation.reasons
        if experiment.name in waiting:
            why = explanation.warnings or ("its own configuration asks for a person's approval",)
        rows.append(
            DemoRow(
                name=experiment.name,
                story=experiment.story,
                verdict=decision["verdict"],
                why="; ".join(why),
                outcome=_outcome(store, experiment.name, waiting),
            )
        )
    return rows


def _outcome(store: Store, name: str, waiting: set[str]) -> str:
    history = get_promotion_history(name, store=store)
    if history:
        return "promoted" if history[0].is_live else "promoted, rolled back"
    return "awaiting approval" if name in waiting else "keeps running"
