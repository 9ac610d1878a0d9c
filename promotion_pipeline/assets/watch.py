"""The watch over what was promoted."""

import dagster as dg

from promotion_pipeline import names
from promotion_pipeline.act_events import told_in_run
from promotion_pipeline.at_work import at_work
from promotion_pipeline.dagster_instance import keep_connections
from promotion_pipeline.markdown import cell
from promotion_pipeline.promotion.watch import WatchAction, WatchResult, watch_promotions
from promotion_pipeline.promotion.watch_rules import WatchStatus
from promotion_pipeline.resources import StoreResource
from promotion_pipeline.store.health import act_counts

DESCRIPTION = """\
Every hour, what became of each promotion that ramps or was completed less than `watch_hours` (default 48) ago: the
winner's error rate, latency and conversion against its snapshot, and against control while that still gets traffic.

A breach is told at once and, where the promotion's `auto_rollback` is on, rolled back. It depends on no other table of
the run: when the rollup or the evaluation fails, what was promoted is watched all the same.
"""


@dg.asset(
    name=names.WATCH,
    deps=[names.PROMOTIONS],
    group_name="promotion",
    kinds={"postgres"},
    owners=names.OWNERS,
    description=DESCRIPTION,
)
def promotion_watch(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> dg.MaterializeResult[None]:
    """Look at every watched promotion."""
    keep_connections(context.instance)
    with at_work(context, store) as opened, told_in_run(context, opened):
        found = watch_promotions(opened)
    return dg.MaterializeResult(
        metadata={
            "watched": len(found),
            "breached": sum(result.status is WatchStatus.BREACH for result in found),
            "rolled_back": sum(result.action is WatchAction.ROLLED_BACK for result in found),
            **act_counts(opened),
            "promotions": dg.MetadataValue.md(_table(found)),
        }
    )


def _table(found: tuple[WatchResult, ...]) -> str:
    if not found:
        return "Nothing is watched: no promotion of the last days."
    lines = ["| experiment | winner | state | status | requests | what |", "| --- | --- | --- | --- | --- | --- |"]
    for result in sorted(found, key=lambda one: (one.status is not WatchStatus.BREACH, one.experiment_name)):
        cells = (
            result.experiment_name,
            result.winner,
            result.state,
            result.status.value,
            f"{result.requests:,}",
            result.message,
        )
        lines.append("| " + " | ".join(cell(value) for value in cells) + " |")
    return "\n".join(lines)
