"""The asset `served_traffic`: every hour what is decided, served and observed; a difference fails its check by name."""

from __future__ import annotations

import dagster as dg
from pydantic import SecretStr

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.assets.served import CHECK
from promotion_pipeline.orchestration.comparing import served_traffic_schedule
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.sensors import pending_run
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.serving import deliver_due, wait_until_served
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.traffic.delivering import seed, told
from promotion_pipeline_tests.traffic.provider import TOKEN, Answer, Provider, provider_at_work


def knows(stage: Stage, provider: Provider) -> Store:
    """The stage's store with the provider in its settings."""
    known = {"unleash_url": provider.url, "unleash_token": SecretStr(TOKEN)}
    return Store(stage.store.url, stage.store.settings.model_copy(update=known))


def schedule_tick(stage: Stage, store: Store) -> bool:
    """Whether the schedule of the comparison starts a run."""
    with dg.build_schedule_context(stage.instance, resources={"store": StoreResource(store)}) as context:
        return bool(served_traffic_schedule.evaluate_tick(context).run_requests)


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == CHECK]
    return found


def test_an_edit_by_hand_fails_the_check_of_the_hour_and_names_the_experiment(stage: Stage) -> None:
    with provider_at_work() as provider:
        store = knows(stage, provider)
        seeded = seed(store)
        promote_winner("x", "manual", "anna", store=store)
        wait_until_served(store, seeded.id)
        graph = InProcess(stage.instance, store, log_level="CRITICAL")
        assert schedule_tick(stage, store)
        first = check_of(graph.run_job(names.SERVED_JOB))
        assert (first.passed, first.description) == (True, "Yes.")
        assert not schedule_tick(stage, store), "it was compared just now"
        provider.edit(100, 900)
        with store.connect() as connection:
            connection.execute("UPDATE traffic_deliveries SET verified_at = verified_at - interval '3 hours'")
        found = check_of(graph.run_job(names.SERVED_JOB))
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
        for said in ("x: ", "control 10 %, treatment 90 %", "mallory"):
            assert said in (found.description or "")
        assert found.metadata["experiments"].value == "x"
        assert told(store, "traffic_conflict") == 1
        provider.edit(0, 1000)
        provider.read_answers = [Answer(503)]
        materialized = graph.run_job(names.SERVED_JOB)
        last = check_of(materialized)
        assert (last.passed, last.severity) == (False, dg.AssetCheckSeverity.ERROR), (
            "the conflict stands until it is read"
        )
        assert check_of(graph.run_job(names.SERVED_JOB)).passed


def test_a_split_that_nobody_here_can_bring_to_its_target_is_told_of_after_ten_minutes(stage: Stage) -> None:
    with provider_at_work() as provider:
        seed(knows(stage, provider))
        promote_winner("x", "manual", "anna", store=stage.store)
    assert isinstance(pending_run(stage.instance, stage.store), dg.SkipReason)
    with stage.store.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET created_at = created_at - interval '11 minutes'")
    assert isinstance(pending_run(stage.instance, stage.store), dg.RunRequest)
    deliver_due(stage.store)
    assert told(stage.store, "traffic_late") == 1
    assert isinstance(pending_run(stage.instance, stage.store), dg.SkipReason)
