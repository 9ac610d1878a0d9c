"""Decided, served and observed traffic beside each other."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.at_the_end import bring_splits_to_targets, tell_people
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.checks import listed
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.unattended.comparing import compare_traffic
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import age_text, split_text
from promotion_pipeline.text.tables import markdown_table
from promotion_pipeline.traffic.splits import TrafficSplit, traffic_splits

CHECK = "served_is_decided_is_observed"
QUESTION = "Does every target serve the split that is decided, and does the log show it?"
DESCRIPTION = f"""\
What each experiment's traffic is: *decided* in our tables, *served* by its target (read back afresh: Unleash, a
webhook, our own table or flags), and *observed* in the log since it is served, at most of the newest day, on users
where they are known.

The hourly run materializes this after the decisions; `{names.SERVED_SCHEDULE}` does where there was none, so that it
is done every hour whether or not any hour is decided. An edit that somebody made by hand is found here, named with both
versions, and told at once; nothing is overwritten. Targets are asked many at a time and for a minute at most, so that
one that hangs delays nothing.

Before it compares, splits that are decided and not served yet are brought to their targets; after it, messages that are
due are sent. What fails there fails nothing here: `{names.SENSOR}` and `{names.DELIVERY_SENSOR}` try it again.
"""


@placed.multi_asset(
    name=names.SERVED,
    specs=[
        dg.AssetSpec(
            names.SERVED,
            # After the decisions, so that a target that hangs delays none.
            deps=[names.DECISIONS, names.EXPERIMENTS, names.REQUESTS, names.PROMOTIONS],
            group_name="promotion",
            kinds={"postgres"},
            owners=names.OWNERS,
            code_version=code_version(names.SERVED),
            metadata={"dagster/table_name": names.SERVED},
            description=DESCRIPTION,
        )
    ],
    check_specs=[dg.AssetCheckSpec(CHECK, asset=names.SERVED, description=QUESTION)],
    # So that the check can be asked without reading everything back.
    can_subset=True,
)
def served_traffic(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Compare the three splits of every experiment."""
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        is_filled = bool(context.selected_asset_keys)
        if is_filled:
            bring_splits_to_targets(context, opened)
            found: Sequence[TrafficSplit] = compare_traffic(opened)
            yield dg.MaterializeResult(asset_key=store.place.key(names.SERVED), metadata=_metadata(found))
        else:
            found = _known(opened)
        if context.selected_asset_check_keys:
            yield _check(found, store.place.key(names.SERVED))
        if is_filled:
            tell_people(context, opened)


def _known(store: Store) -> list[TrafficSplit]:
    with store.connect() as connection:
        return [split for split in traffic_splits(connection) if split.is_compared]


def _check(found: Sequence[TrafficSplit], asset: dg.AssetKey) -> dg.AssetCheckResult:
    wrong = [split for split in found if split.problem is not None]
    unread = [split for split in found if split.problem is None and split.unread is not None]
    unobserved = [split for split in found if split.unobserved is not None]
    said = [f"{split.experiment_name}: {split.sentence}" for split in (*wrong, *unread)]
    said += [f"the log could not be asked: {unobserved[0].unobserved}"] if unobserved else []
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=CHECK,
        passed=not said,
        # What could not be measured did not pass, and is not known to be wrong.
        severity=dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN,
        description=listed(said) or "Yes.",
        metadata={
            "differing_experiments": len(wrong),
            "unread_experiments": len(unread),
            "unobserved_experiments": len(unobserved),
            **({"experiments": listed([split.experiment_name for split in wrong])} if wrong else {}),
        },
    )


def _metadata(found: Sequence[TrafficSplit]) -> dict[str, Any]:
    oldest = max((split.read_age_seconds for split in found if split.read_age_seconds is not None), default=0.0)
    return {
        "compared": len(found),
        "differing": sum(split.problem is not None for split in found),
        "unread": sum(split.unread is not None for split in found),
        "oldest_read_back_seconds": round(oldest, 1),
        "splits": dg.MetadataValue.md(_table(found)),
    }


def _table(found: Sequence[TrafficSplit]) -> str:
    if not found:
        return "No experiment runs, and no promotion stands."
    worst_first = sorted(found, key=lambda one: (one.problem is None, one.unread is None, one.experiment_name))
    rows = [
        (
            one.experiment_name,
            one.target,
            "-" if one.state is None else one.state.value,
            split_text(one.decided),
            "not read" if one.served is None else split_text(one.served),
            "nobody" if one.observed is None else split_text(one.observed),
            "-" if one.read_age_seconds is None else age_text(one.read_age_seconds),
            one.sentence or "",
        )
        for one in worst_first
    ]
    columns = ("experiment", "target", "delivery", "decided", "served", "observed", "read", "what")
    return markdown_table(columns, rows, "promotion-pipeline traffic")
