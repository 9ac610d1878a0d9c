"""The watch over what was promoted."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.act_events import told_in_run
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.checks import SHOWN, listed
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.history.counts import act_counts
from promotion_pipeline.promotion.record.watched import Alarm, AlarmKind
from promotion_pipeline.promotion.unattended.watch import WatchAction, WatchResult, watch_promotions
from promotion_pipeline.promotion.watch.alarms import fingerprint, open_alarms
from promotion_pipeline.promotion.watch.rules import WatchStatus
from promotion_pipeline.text.numbers import count_text
from promotion_pipeline.text.tables import markdown_table

DESCRIPTION = f"""\
What became of each promotion that ramps or was completed less than `watch_hours` (default 48) ago: the winner's error
rate, latency and conversion against its snapshot, and against control while that still gets traffic; and whether the
split is still the one that the promotion set.

`{names.WATCH_SENSOR}` looks every five minutes, whether or not any experiment runs, and materializes this when there is
something to tell or to do; the hourly run does so too. A breach is told at once and, where the promotion's
`auto_rollback` is on, rolled back. It depends on no other table of the run: when the rollup or the evaluation fails,
what was promoted is watched all the same.
"""

CHECKS = {
    "no_winner_is_worse_than_promised": (
        AlarmKind.BREACH,
        dg.AssetCheckSeverity.ERROR,
        "Is every winner as good as when it was promoted, or did somebody deal with it?",
    ),
    "promoted_splits_stand": (
        AlarmKind.DRIFT,
        dg.AssetCheckSeverity.ERROR,
        "Is the traffic of every promotion still split as the promotion set it?",
    ),
    "every_winner_is_seen": (
        AlarmKind.BLIND,
        dg.AssetCheckSeverity.WARN,
        "Can the requests of every watched winner be seen?",
    ),
}
"""Check -> what it asks about, how bad it is, and the question."""


@placed.multi_asset(
    name=names.WATCH,
    specs=[
        dg.AssetSpec(
            names.WATCH,
            deps=[names.PROMOTIONS],
            group_name="promotion",
            kinds={"postgres"},
            owners=names.OWNERS,
            code_version=code_version(names.WATCH),
            metadata={"dagster/table_name": names.WATCH},
            description=DESCRIPTION,
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(name, asset=names.WATCH, description=question) for name, (_, _, question) in CHECKS.items()
    ],
    # So that a check can be asked without looking again.
    can_subset=True,
)
def promotion_watch(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Look at every watched promotion."""
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        if context.selected_asset_keys:
            with told_in_run(context, opened, store.place):
                found = watch_promotions(opened)
            alarms = open_alarms(opened)
            yield dg.MaterializeResult(
                asset_key=store.place.key(names.WATCH),
                metadata={
                    "watched": len(found),
                    "breached": sum(result.status is WatchStatus.BREACH for result in found),
                    "rolled_back": sum(result.action is WatchAction.ROLLED_BACK for result in found),
                    **act_counts(opened),
                    names.OPEN_ALARMS: fingerprint(alarms),
                    "promotions": dg.MetadataValue.md(_table(found)),
                },
            )
        for key in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
            yield _check(key, open_alarms(opened))


def _check(key: dg.AssetCheckKey, alarms: Mapping[UUID, Sequence[Alarm]]) -> dg.AssetCheckResult:
    kind, severity, _ = CHECKS[key.name]
    found = [alarm for of_one in alarms.values() for alarm in of_one if alarm.kind is kind]
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not found,
        severity=severity,
        description=listed([f"{alarm.experiment_name}: {alarm.sentence}" for alarm in found]) or "Yes.",
        metadata={
            "promotions": len(found),
            **(
                {
                    "experiments": listed([alarm.experiment_name for alarm in found]),
                    "what_to_type": "\n".join(alarm.commands[0] for alarm in found[:SHOWN]),
                }
                if found
                else {}
            ),
        },
    )


def _table(found: tuple[WatchResult, ...]) -> str:
    if not found:
        return "Nothing is watched: no promotion of the last days."
    worst_first = sorted(found, key=lambda one: (one.status is not WatchStatus.BREACH, one.experiment_name))
    rows = [
        (one.experiment_name, one.winner, one.state, one.status.value, count_text(one.requests), one.message)
        for one in worst_first
    ]
    columns = ("experiment", "winner", "state", "status", "requests", "what")
    return markdown_table(columns, rows, "promotion-pipeline watch")
