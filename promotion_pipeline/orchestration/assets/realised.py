"""What came of what was promoted."""

from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.ledger.keeping import keep_ledger
from promotion_pipeline.promotion.ledger.ledger import Ledger, LedgerEntry, read_ledger
from promotion_pipeline.text.numbers import interval_text, rate_text
from promotion_pipeline.text.tables import markdown_table

DESCRIPTION = """\
What each promotion promised and what it brought: its lift over control in the requests that came after the decision.

A promotion with `holdback_percent` is measured against the control that its holdback keeps; one without, by the steps
of its ramp in which control had traffic, or by the hours of the experiment that the decision had not judged. Where none
of that says anything, the reason is here. Also kept: the lifts of ended experiments, winners and others alike, which
the next ones' lifts are shrunk by. `promotion-pipeline ledger` shows the same.
"""


@placed.asset(
    name=names.REALISED,
    deps=[names.PROMOTIONS, names.ROLLUPS],
    group_name="promotion",
    kinds={"postgres", "table"},
    owners=names.OWNERS,
    code_version=code_version(names.REALISED),
    metadata={"dagster/table_name": names.REALISED, "dagster/column_schema": SCHEMAS[names.REALISED]},
    description=DESCRIPTION,
    pool=names.EVALUATION_POOL,
)
def realised_lift(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> dg.MaterializeResult[None]:
    """Measure what is due."""
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        done = keep_ledger(opened)
        ledger = read_ledger(store=opened)
    return dg.MaterializeResult(metadata=_metadata(ledger, len(done.measured), done.kept))


def _metadata(ledger: Ledger, looked_at: int, kept: int) -> dict[str, dg.MetadataValue[Any] | int | float]:
    shrunken = next(record for record in ledger.programme if record.promise == "shrunken")
    known = {"held_share": shrunken.held_share, "came_true": shrunken.came_true}
    return {
        "looked_at": looked_at,
        "past_lifts_kept": kept,
        "measured": ledger.measured,
        "measuring": ledger.measuring,
        "not_measurable": ledger.not_measurable,
        **{name: float(value) for name, value in known.items() if value is not None},
        "promotions": dg.MetadataValue.md(_table(ledger)),
    }


def _table(ledger: Ledger) -> str:
    if not ledger.entries:
        return "Nothing was promoted yet."
    heads = ("experiment", "winner", "promised", "expected", "came", "interval", "state")
    return markdown_table(heads, [_row(entry) for entry in ledger.entries], "promotion-pipeline ledger")


def _row(entry: LedgerEntry) -> tuple[object, ...]:
    return (
        entry.experiment_name,
        entry.winner,
        rate_text(entry.promised_lift, 1, signed=True),
        rate_text(entry.shrunken_lift, 1, signed=True),
        rate_text(entry.realised_lift, 1, signed=True),
        interval_text(entry.realised_lower, entry.realised_upper),
        entry.because or entry.state.value,
    )
