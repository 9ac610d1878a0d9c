"""A split that is decided and not served is delivered by a run of the apply job."""

from __future__ import annotations

import dagster as dg
from pydantic import SecretStr

from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.sensors import pending_run
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.traffic.delivering import newest, seed
from promotion_pipeline_tests.traffic.provider import TOKEN, provider_at_work


def test_the_sensor_launches_a_run_that_delivers(stage: Stage) -> None:
    with provider_at_work() as provider:
        known = {"unleash_url": provider.url, "unleash_token": SecretStr(TOKEN)}
        served = Store(stage.store.url, stage.store.settings.model_copy(update=known))
        seeded = seed(served)
        promote_winner("x", "manual", "anna", store=served)
        first, again = (pending_run(stage.instance, served) for _ in range(2))
        assert isinstance(first, dg.RunRequest)
        assert first == again
        # A deployment that does not know the target launches nothing for it.
        assert isinstance(pending_run(stage.instance, stage.store), dg.SkipReason)
        graph = InProcess(stage.instance, served, log_level="CRITICAL")
        assert graph.tick_sensor() is not None
        assert newest(served, seeded.id).state is TrafficState.VERIFIED
        assert provider.weights == {"control": 0, "treatment": 1000}
        assert graph.tick_sensor() is None
