"""What a run tells the person who looks at it: numbers that plot, a table of verdicts, a picture of the newest hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from promotion_pipeline.config import Settings
from promotion_pipeline.evaluation import Verdict, explain
from promotion_pipeline.notifications.links import evidence_url
from promotion_pipeline.orchestration.assets.code_version import lineage_if_new
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.orchestration.place import Placement
from promotion_pipeline.text.numbers import confidence_text, lift_text
from promotion_pipeline.text.tables import cell, raw_markdown_table

EVERY_HOUR = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=6))
"""Of the tables that the hourly run fills: how long ago any hour was decided. Without a running experiment none is."""
ROW_COUNT = "dagster/partition_row_count"
VERDICT_COLUMNS = ("experiment", "verdict", "candidate", "lift", "confidence", "why")
LEGEND = """
- **promotable**: all checks pass and the evidence holds: promoted unattended, unless it is on hold, its data is \
stale, or a person is to be asked.
- **eligible**: all checks pass, but looking every hour could have made this winner: a person may approve it, or \
the next hours settle it.
- **not_yet**: too little runtime, sample or confidence; more data may settle it.
- **rejected**: enough data, and the nearest treatment falls short on improvement or fails too often.
- **inconclusive**: the data cannot be judged: no rows, no control, nothing converted, a split that does not sum to 100.
- **error**: the data contradicts itself, or the experiment's own thresholds are wrong.

Lift and confidence are the nearest treatment's against control, over everything since the traffic split last changed. \
Confidence is that of one look at the numbers; the always-valid interval is in the table and in the picture beside this.
"""
_ORDER = {verdict.value: rank for rank, verdict in enumerate(Verdict)}


def report_hours(
    context: dg.AssetExecutionContext,
    asset: str,
    by_hour: pd.DataFrame,
    newest: Mapping[str, Any],
    place: Placement,
) -> None:
    """Attach to each hour's event its own numbers, and to the newest hour's what is about the run as a whole.

    Metadata of a materialization over a range would be copied to every hour: a total would plot as if it were each's.

    Args:
        by_hour: numbers, a row an hour, indexed by the hour.
        newest: more metadata for the newest hour only.
        place: where the asset is.
    """
    last = len(by_hour) - 1
    for number, (hour, row) in enumerate(by_hour.iterrows()):
        assert isinstance(hour, pd.Timestamp)
        metadata: dict[str, Any] = {str(name): int(value) for name, value in row.items()}
        if number == last:
            metadata |= {**(newest or {}), **lineage_if_new(context, asset)}
        context.add_asset_metadata(metadata, asset_key=place.key(asset), partition_key=hour_key(hour.to_pydatetime()))


def verdict_table(decisions: pd.DataFrame, settings: Settings) -> str:
    """The decisions about one hour as Markdown, what asks for attention first, and what the words mean.

    With its legend it is long enough for the UI to show it in a window of its own; a narrow cell would cut it off.

    Args:
        decisions: rows of `Evaluation.decisions` with the experiments' `name`.
        settings: say where the evidence page is.
    """
    if decisions.empty:
        return "No experiment was running."
    rows = [_verdict_cells(row, settings) for row in ranked(decisions).to_dict("records")]
    return raw_markdown_table(VERDICT_COLUMNS, rows, "the table `eligibility_decisions`") + "\n" + LEGEND


def _verdict_cells(record: Mapping[Any, Any], settings: Settings) -> tuple[str, ...]:
    row = {str(column): value for column, value in record.items()}
    return (
        f"[{cell(row['name'])}]({evidence_url(settings, str(row['name']))})",
        "**promotable**" if row["is_promotable"] else str(row["verdict"]),
        cell(row["candidate_variant_name"]),
        lift_text(row["improvement"], unknown="–"),
        confidence_text(row["confidence"], unknown="–"),
        cell(explain(row).summary),
    )


def ranked(decisions: pd.DataFrame) -> pd.DataFrame:
    """The decisions in the order in which a person wants to see them."""
    verdict = decisions["verdict"].astype(object).map(_ORDER)
    order = pd.DataFrame({"promotable": ~decisions["is_promotable"], "verdict": verdict, "name": decisions["name"]})
    return decisions.loc[order.sort_values(["promotable", "verdict", "name"]).index]
