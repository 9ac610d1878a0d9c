"""The ledger in Dagster: a run where something is due, whether or not an experiment runs."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.ledger import realised_lift_schedule
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.ledger.ledger import read_ledger
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.promotion.test_realised import AFTER, HELD, later
from promotion_pipeline_tests.seeding import WINNER, seed_experiment


def tick(stage: Stage) -> object:
    context = dg.build_schedule_context(instance=stage.instance, resources={"store": StoreResource(stage.store)})
    return realised_lift_schedule(context)


def test_a_lone_holdback_is_measured_although_no_experiment_runs(stage: Stage) -> None:
    assert isinstance(tick(stage), dg.SkipReason)
    seeded = seed_experiment(stage.store, "checkout", WINNER, promotion_config=HELD)
    promote_winner("checkout", "auto", "sensor", store=stage.store)
    later(stage.store, seeded, 48, *AFTER)
    assert isinstance(tick(stage), dg.RunRequest)
    assert stage.graph.run_assets([names.REALISED]).success
    entry = read_ledger(store=stage.store).entries[0]
    assert entry.realised_lift is not None
    event = stage.instance.get_latest_materialization_event(dg.AssetKey(names.REALISED))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["measuring"].value == 1
    assert isinstance(tick(stage), dg.SkipReason)
