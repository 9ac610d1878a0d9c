"""Tables that the graph shows and does not fill: the experiments, and what promotions leave behind."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.assets.columns import SCHEMAS

ab_experiments = dg.AssetSpec(
    names.EXPERIMENTS,
    group_name="source",
    kinds={"postgres", "table"},
    owners=names.OWNERS,
    metadata={"dagster/table_name": names.EXPERIMENTS, "dagster/column_schema": SCHEMAS[names.EXPERIMENTS]},
    description="The experiments and their variants, written by the application. A change of the traffic split opens a"
    " new phase by itself; measurement starts again there, because pooling over a change of split misleads.",
)

experiment_promotions = dg.AssetSpec(
    names.PROMOTIONS,
    deps=[names.DECISIONS],
    group_name="promotion",
    kinds={"postgres", "table"},
    owners=names.OWNERS,
    metadata={"dagster/table_name": names.PROMOTIONS, "dagster/column_schema": SCHEMAS[names.PROMOTIONS]},
    description=(
        "What was promoted and rolled back, by whom and on what evidence. Nothing is materialized here by hand:"
        " every act leaves an event, whether it came from `promotion_sensor`, from a job in the Launchpad, from the"
        " command line or over HTTP.\n\n"
        f"To act from here, start `{names.PROMOTE_JOB}`, `{names.APPROVE_JOB}`, `{names.ROLLBACK_JOB}`,"
        f" `{names.HOLD_JOB}` or `{names.RELEASE_HOLD_JOB}` from the Launchpad."
    ),
)
