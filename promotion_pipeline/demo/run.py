"""The demo from an open store to its result: seed, decide, promote, roll one back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.dagster_instance import open_instance
from promotion_pipeline.demo.experiments import DEMO_EXPERIMENTS, ROLLED_BACK
from promotion_pipeline.demo.graph import Graph
from promotion_pipeline.demo.load import Seeded, foreign_experiments, require_own_database, retire_earlier_demo, seed
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.evaluation import explain
from promotion_pipeline.names import EXPERIMENT_TAG_PREFIX
from promotion_pipeline.promotion.approvals import open_approvals
from promotion_pipeline.promotion.history import get_promotion_history
from promotion_pipeline.promotion.models import Promotion
from promotion_pipeline.promotion.rollback import rollback_promotion
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

Step = Callable[[str], AbstractContextManager[Callable[[float], None]]]
"""Shows a titled step while its body runs; yields a function that takes the fraction done."""

ACTOR = "demo"
ATTEMPTS = 3


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
            graph = Graph(store, stack.enter_context(open_instance(store)))
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


def _decide_and_promote(store: Store, graph: Graph, seeded: Seeded, step: Step) -> tuple[datetime, tuple[str, ...]]:
    """Materialize the hours and apply what the sensor asks for; again if an hour ended meanwhile."""
    with store.connect() as connection:
        others = foreign_experiments(connection)
    only = tuple(seeded.experiment_ids) if others else ()
    start, run_ids = seeded.start, []
    for _ in range(ATTEMPTS):
        as_of = _newest(store)
        if start < as_of:
            with step(f"Materialize {(as_of - start).total_seconds() / 3600:.0f} hours in one run"):
                run_ids.append(graph.materialize_hours(start, as_of, only))
        with step("Tick the sensor and run the apply jobs that it launches"):
            wanted = [request for request in graph.tick_sensor() if _is_ours(request.tags, seeded)]
            run_ids += [graph.launch(request) for request in wanted]
        if _newest(store) == as_of and wanted:
            return as_of, tuple(run_ids)
        start = as_of
    raise PromotionError("the sensor found nothing to promote: run the demo again, or look at `promotion-pipeline dev`")


def _newest(store: Store) -> datetime:
    with store.connect() as connection:
        return newest_complete_hour(connection)


def _is_ours(tags: Mapping[str, str], seeded: Seeded) -> bool:
    """Whether a run would act on the demo's experiments only."""
    named = {tag.removeprefix(EXPERIMENT_TAG_PREFIX) for tag in tags if tag.startswith(EXPERIMENT_TAG_PREFIX)}
    return bool(named) and named <= set(seeded.experiment_ids)


def _rows(store: Store, seeded: Seeded, as_of: datetime) -> list[DemoRow]:
    waiting = {approval.experiment_name for approval in open_approvals(store)}
    with store.connect() as connection:
        decided = connection.execute(
            "SELECT * FROM eligibility_decisions WHERE as_of = %s AND label = 'record' AND experiment_id = ANY(%s)",
            [as_of, list(seeded.experiment_ids.values())],
        ).fetchall()
    by_id = {row["experiment_id"]: row for row in decided}
    rows = []
    for experiment in DEMO_EXPERIMENTS:
        decision = by_id[seeded.experiment_ids[experiment.name]]
        explanation = explain(decision)
        caveats = explanation.warnings if decision["is_eligible"] and not decision["is_promotable"] else ()
        rows.append(
            DemoRow(
                name=experiment.name,
                story=experiment.story,
                verdict=decision["verdict"],
                why="; ".join(caveats or explanation.reasons),
                outcome=_outcome(store, experiment.name, waiting),
            )
        )
    return rows


def _outcome(store: Store, name: str, waiting: set[str]) -> str:
    history = get_promotion_history(name, store=store)
    if history:
        return "promoted" if history[0].is_live else "promoted, rolled back"
    return "awaiting approval" if name in waiting else "keeps running"
