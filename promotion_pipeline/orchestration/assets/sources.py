"""What a run saw of the tables that others fill, as observations: so that their nodes tell something too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import psycopg

from promotion_pipeline.errors import PromotionError
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.assets.code_version import spec_of
from promotion_pipeline.rollups.observed import observed_experiments, observed_log
from promotion_pipeline.store.database import Store

LAST_UPDATED = "dagster/last_updated_timestamp"


def observe_sources(context: dg.AssetExecutionContext, store: Store, requests: int) -> Iterator[dg.AssetObservation]:
    """What the log and the experiments hold now; a log that cannot be asked fails nothing here.

    Args:
        requests: of the newest hour of the run.
    """
    log, experiments = (dep.asset_key for dep in spec_of(context, names.ROLLUPS).deps)
    try:
        seen, known = observed_log(store), observed_experiments(store)
    except (PromotionError, psycopg.Error) as error:
        context.log.warning(f"the sources were not looked at: {type(error).__name__}")
        return
    about_log = {"requests_of_the_hour": requests, "rows_estimate": seen.rows_estimate, **_newest(seen.newest)}
    yield dg.AssetObservation(log, metadata={name: value for name, value in about_log.items() if value is not None})
    rows = {"dagster/row_count": known.rows, "running": known.running, **_newest(known.newest)}
    yield dg.AssetObservation(experiments, metadata=rows)


def _newest(at: datetime | None) -> Mapping[str, Any]:
    return {} if at is None else {LAST_UPDATED: dg.MetadataValue.timestamp(at)}
