"""Requests to hourly sums: the only step that touches single requests."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.orchestration.assets.reporting import report_hours
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.checks import ROLLUP_CHECKS, ask, specs_of
from promotion_pipeline.orchestration.instance import keep_connections
from promotion_pipeline.orchestration.partitions import hourly
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.rollups.conservation import hour_counts
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.postgresql.days import drop_old_days, ensure_days_ahead
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.database import Store

DESCRIPTION = """\
Additive sums for every hour, experiment, phase and variant: requests, conversions, errors, latency, value, users.

They are made inside the database by one `GROUP BY`; no request leaves it. Because the sums add up, everything after
this table works at any hour without seeing a request again.

- **Late rows:** the `AUTO_PROMOTION_LOOKBACK_HOURS` (default 48) before the run's hours are read again, and only what
  changed is replaced.
- **Arrived with its history:** hours of a running experiment that were read before it was known, or before its rows
  were there, are read again for it, back to the start of its phase.
- Experiments whose sums were imported are left as they are.
"""


@dg.multi_asset(
    name=names.ROLLUPS,
    specs=[
        dg.AssetSpec(
            names.ROLLUPS,
            deps=[names.REQUESTS, names.EXPERIMENTS],
            group_name="evaluation",
            kinds={"postgres", "table"},
            owners=names.OWNERS,
            metadata={"dagster/column_schema": SCHEMAS[names.ROLLUPS]},
            description=DESCRIPTION,
        )
    ],
    check_specs=specs_of(ROLLUP_CHECKS),
    # So that a check can be asked without filling the table again.
    can_subset=True,
    partitions_def=hourly,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=names.EVALUATION_POOL,
)
def hourly_variant_rollups(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Roll up the run's hours and whatever of the hours before them changed."""
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        if context.selected_asset_keys:
            counts, newest = _roll_up(context, opened)
            report_hours(context, names.ROLLUPS, counts, newest)
            yield dg.MaterializeResult(asset_key=names.ROLLUPS)
        yield from ask(context, opened, ROLLUP_CHECKS)


def _roll_up(context: dg.AssetExecutionContext, store: Store) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The counts of each hour, and what is told about the run as a whole."""
    window, started = context.partition_time_window, time.perf_counter()
    first = window.start - timedelta(hours=store.settings.lookback_hours)
    for name in note_unnoted(store):
        context.log.warning(f"{name}: changed past the database's triggers; measured anew from now on")
    done = roll_up(store, first, window.end)
    for unusable in done.unusable:
        context.log.warning(unusable.sentence)
    caught_up = catch_up(store, first)
    refresh_totals(store, window.end)
    ensure_days_ahead(store)
    if store.settings.keep_requests_days is not None:
        drop_old_days(store, store.settings.keep_requests_days)
    seconds = time.perf_counter() - started
    stale = freshness(store, window.end)
    return pd.DataFrame(hour_counts(store, window.start, window.end)).set_index("hour"), {
        "rows_changed": done.changed_rows + caught_up.changed_rows,
        "requests_read": done.requests + caught_up.requests,
        "unusable_numbers": sum(unusable.latencies + unusable.values for unusable in done.unusable),
        "seconds": round(seconds, 3),
        "max_staleness_hours": round(max((row.staleness_hours for row in stale), default=0.0), 3),
    }
