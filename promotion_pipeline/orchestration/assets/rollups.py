"""Requests to hourly sums: the only step that touches single requests."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from promotion_pipeline.decisions.sums import SumsResult, bring_sums_up_to_date
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.orchestration.assets.lineage import LINEAGE
from promotion_pipeline.orchestration.assets.reporting import EVERY_HOUR, ROW_COUNT, report_hours
from promotion_pipeline.orchestration.assets.sources import observe_sources
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.check_answers import ask, specs_of
from promotion_pipeline.orchestration.checks import ROLLUP_CHECKS
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.partitions import HOURS
from promotion_pipeline.orchestration.resources import StoreResource

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


@placed.multi_asset(
    name=names.ROLLUPS,
    specs=[
        dg.AssetSpec(
            names.ROLLUPS,
            deps=[names.REQUESTS, names.EXPERIMENTS],
            group_name="evaluation",
            kinds={"postgres", "table"},
            owners=names.OWNERS,
            code_version=code_version(names.ROLLUPS),
            freshness_policy=EVERY_HOUR,
            metadata={
                "dagster/table_name": names.ROLLUPS,
                "dagster/column_schema": SCHEMAS[names.ROLLUPS],
                "dagster/column_lineage": LINEAGE[names.ROLLUPS],
            },
            description=DESCRIPTION,
        )
    ],
    check_specs=specs_of(ROLLUP_CHECKS),
    # So that a check can be asked without filling the table again.
    can_subset=True,
    partitions_def=HOURS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=names.EVALUATION_POOL,
)
def hourly_variant_rollups(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation | dg.AssetCheckResult]:
    """Roll up the run's hours and whatever of the hours before them changed."""
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        if context.selected_asset_keys:
            window = context.partition_time_window
            done = bring_sums_up_to_date(opened, window.start, window.end, tell=context.log.warning)
            hours = done.hours.assign(**{ROW_COUNT: done.hours["rows"]})
            report_hours(context, names.ROLLUPS, hours, _about(done), store.place)
            yield dg.MaterializeResult(asset_key=store.place.key(names.ROLLUPS))
            yield from observe_sources(context, opened, int(done.hours["requests"].iloc[-1]))
        yield from ask(context, opened, ROLLUP_CHECKS)


def _about(done: SumsResult) -> dict[str, Any]:
    """What is told about the run as a whole."""
    return {
        "rows_changed": done.changed_rows,
        "requests_read": done.requests,
        "unusable_numbers": done.unusable_numbers,
        "seconds": round(done.seconds, 3),
        "max_staleness_hours": round(done.max_staleness_hours, 3),
    }
