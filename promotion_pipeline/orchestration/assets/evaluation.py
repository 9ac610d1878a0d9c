"""Sums to verdicts: three tables that one evaluation fills.

They are one step, because judging is one pass over all experiments and hours, and three steps would make it thrice.
Any of the three can still be materialized alone: the step then writes only that table.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg
import pandas as pd

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.labels import LATEST
from promotion_pipeline.decisions.late import LateVerdict
from promotion_pipeline.decisions.recorded import recorded_counts
from promotion_pipeline.decisions.redecide import redecide_late, what_if_diff
from promotion_pipeline.decisions.window import WindowResult, evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.assets.code_version import code_version
from promotion_pipeline.orchestration.assets.columns import METRIC_RESULTS, SCHEMAS
from promotion_pipeline.orchestration.assets.discoveries import discoveries
from promotion_pipeline.orchestration.assets.lineage import LINEAGE
from promotion_pipeline.orchestration.assets.plots import lift_plot
from promotion_pipeline.orchestration.assets.reporting import EVERY_HOUR, ROW_COUNT, report_hours, verdict_table
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.check_answers import ask, repeat, specs_of
from promotion_pipeline.orchestration.checks import EVALUATION_CHECKS
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.made_by import made_by
from promotion_pipeline.orchestration.markdown import diff_table, late_table
from promotion_pipeline.orchestration.partitions import HOURS
from promotion_pipeline.orchestration.place import Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.run_config import EvaluationConfig, launchpad_schema
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR

CONFIG_BLOCK = f"""\
```yaml
ops:
  {names.EVALUATION_OP}:
    config:
      label: "99 %"
      min_confidence_level: 99
      guardrails: ["error_rate"]
      experiments: ["checkout"]
```"""

WHAT_IF = f"""
**What if?** Materialize any range of hours with this config (Launchpad, or *Config* in the backfill dialog) to ask what
other thresholds would have decided. Such decisions are stored beside the record under their label, and promote nothing:

{CONFIG_BLOCK}
"""


def _spec(
    name: str, dep: str | dg.AssetDep, description: str, more: Mapping[str, Any] = MappingProxyType({})
) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=[dep, names.EXPERIMENTS] if name == names.METRICS else [dep],
        description=description,
        group_name="evaluation",
        kinds={"pandas", "postgres", "table"},
        owners=names.OWNERS,
        code_version=code_version(name),
        freshness_policy=EVERY_HOUR,
        metadata={
            "dagster/table_name": name,
            "dagster/column_schema": SCHEMAS[name],
            "dagster/column_lineage": LINEAGE[name],
            **more,
        },
    )


METRICS_DESCRIPTION = """\
What every variant did since its phase began, as seen at the end of each hour: counts, rates, latency, value.

Cumulative on purpose: an hour's row is all that was known then, so a decision can be read off one hour.
"""
SIGNIFICANCE_DESCRIPTION = """\
Every treatment against control at the end of each hour.

- `z`, `p_value`, `confidence`: the pooled z-test. It is meant for **one** look; looked at every hour it would call
  a winner in 14 % of experiments without any difference (two variants, 14 days).
- `always_valid_*`: an interval that holds at every look at once. An unattended promotion needs its lower end above 0.
- `adjusted_p_value`: Holm over the treatments of an experiment. How many comparisons of the newest hour remain after
  Benjamini-Hochberg over all experiments is told with the run (discoveries).
- `shrunken_lift`: the lift to expect: what was picked for its lift looks better than it is.
- `group_sequential_*`: planned looks, where an experiment states its `planned_sample_size`.

Beside it, in the same transaction, `metric_results`: every metric that an experiment states (goals, guardrails,
secondary), a row an hour, treatment and metric. Its columns are in the metadata.
"""
DECISIONS_DESCRIPTION = f"""\
The verdict on every experiment at the end of each hour, with the contract checks and both numbers of each.

`eligible` all checks pass; `not_yet` more data may settle it; `rejected` enough data, and no; `inconclusive` cannot be
judged; `error` contradicts itself. Not eligible is an answer, not a failure.

**Decisions of record are written once.** The first decision about an hour stays as it was made. Only a decision of
record about the newest complete hour, made by the schedule or an automation (`made_by`), can lead to a promotion: no
run that a person starts ever moves traffic, not even the one that decides the newest hour first.

**Late rows:** where sums of decided hours change, these hours are decided again beside the record, as `latest`; a
decision that would be another one is listed here and announced, once.
{WHAT_IF}"""


@placed.multi_asset(
    name=names.EVALUATION_OP,
    specs=[
        # What was summed before the hour is read from the table: a look-back mapping would make a one-day backfill
        # decide every later hour again.
        _spec(
            names.METRICS,
            dg.AssetDep(names.ROLLUPS, partition_mapping=dg.IdentityPartitionMapping()),
            METRICS_DESCRIPTION,
        ),
        _spec(
            names.SIGNIFICANCE,
            names.METRICS,
            SIGNIFICANCE_DESCRIPTION,
            {"metric_results_columns": dg.MetadataValue.table_schema(METRIC_RESULTS)},
        ),
        _spec(names.DECISIONS, names.SIGNIFICANCE, DECISIONS_DESCRIPTION),
    ],
    check_specs=specs_of(EVALUATION_CHECKS),
    can_subset=True,
    partitions_def=HOURS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=names.EVALUATION_POOL,
    config_schema=launchpad_schema(EvaluationConfig),
)
def evaluation(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[StoreResource]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Judge the run's hours and write the tables that were asked for."""
    config = EvaluationConfig(**context.op_execution_context.op_config)
    wanted = [table for table in Table if store.place.key(table.value) in context.selected_asset_keys]
    keep_connections(context.instance)
    with at_work(context, store) as opened:
        # Before the run's own hours, whose decisions know the late rows already.
        is_regular = Table.DECISIONS in wanted and not config.is_what_if()
        late = redecide_late(opened, tell=context.log.warning) if is_regular else ()
        for table, found in _evaluate(context, config, opened, wanted, store.place).items():
            about = _newest(table, found, opened.settings)
            if table is Table.SIGNIFICANCE:
                about |= {"metric_results_written": found.metric_results}
                about |= discoveries(opened, found.hours.index[-1].to_pydatetime())
            if table is Table.DECISIONS:
                about |= _compared(context, config, opened, (*late, *found.late))
            hours = found.hours[HOURLY_COLUMNS[table]]
            if table is Table.DECISIONS and config.is_what_if():
                hours, about = _beside_the_record(opened, config, hours, about)
            elif not config.experiments:
                hours = hours.assign(**{ROW_COUNT: found.rows_by_hour[table]})
            report_hours(context, table.value, hours, about, store.place)
            yield dg.MaterializeResult(asset_key=store.place.key(table.value))
        if config.is_what_if():
            repeat(context, opened)
        else:
            yield from ask(context, opened, EVALUATION_CHECKS)


def _evaluate(
    context: dg.AssetExecutionContext, config: EvaluationConfig, store: Store, wanted: list[Table], place: Placement
) -> dict[Table, WindowResult]:
    """Fill the tables in their order. A what-if changes decisions only: the others are always as the regular
    thresholds make them, which takes a second evaluation in the rare run that asks for both."""
    asked = [Table.DECISIONS] if config.is_what_if() and Table.DECISIONS in wanted else []
    regular = [table for table in wanted if table not in asked]
    found: dict[Table, WindowResult] = {}
    for tables, thresholds, label in (
        (regular, None, None),
        (asked, config.thresholds(), config.label.strip() or None),
    ):
        if tables:
            window = context.partition_time_window
            result = evaluate_window(
                store,
                window.start,
                window.end,
                experiments=config.experiments,
                config=thresholds,
                label=label,
                tables=tables,
                made_by=made_by(context.run.tags, place),
                progress=lambda done, total: _log_progress(context, done, total),
                tell=context.log.warning,
            )
            found |= dict.fromkeys(tables, result)
    return found


def _log_progress(context: dg.AssetExecutionContext, done: int, total: int) -> None:
    """That a run is done is its own event: a line is for those that take a while."""
    if done < total:
        context.log.info(f"{done:,} of {total:,} experiments judged")


def _beside_the_record(
    store: Store, config: EvaluationConfig, hours: pd.DataFrame, about: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The numbers of the record under their names, those of a what-if beside them under names of their own."""
    start, end = hours.index[0].to_pydatetime(), hours.index[-1].to_pydatetime() + HOUR
    recorded = recorded_counts(store, start, end)[HOURLY_COLUMNS[Table.DECISIONS]]
    label = config.label.strip() or LATEST
    return recorded.join(hours.add_prefix("what_if_")), {"label": label, **about}


def _compared(
    context: dg.AssetExecutionContext, config: EvaluationConfig, store: Store, late: Sequence[LateVerdict]
) -> dict[str, Any]:
    """What the decisions of record would be otherwise: under the what-if, or with the rows that came late."""
    if config.is_what_if():
        window = context.partition_time_window
        label = config.label.strip() or LATEST
        diff = what_if_diff(store, label, window.start, window.end, config.experiments)
        return {} if diff is None else {"diff_to_the_record": dg.MetadataValue.md(diff_table(diff))}
    for verdict in late:
        context.log.warning(f"{verdict.experiment_name}: {verdict.summary}")
    return {
        "decisions_that_late_rows_would_change": sum(len(verdict.flips) for verdict in late),
        **({"late_rows": dg.MetadataValue.md(late_table(late))} if late else {}),
    }


HOURLY_COLUMNS = {
    Table.METRICS: ["experiments"],
    Table.SIGNIFICANCE: ["experiments"],
    Table.DECISIONS: [
        "experiments",
        "eligible",
        "promotable",
        "waiting",
        "not_yet",
        "rejected",
        "inconclusive",
        "error",
    ],
}
"""Which numbers plot on which table."""


def _newest(table: Table, found: WindowResult, settings: Settings) -> dict[str, Any]:
    """What is told about the run as a whole."""
    about: dict[str, Any] = {
        "rows_written": found.rows[table],
        **{f"seconds_{name}": round(value, 3) for name, value in found.seconds.items()},
    }
    if table is Table.DECISIONS:
        about |= {
            "decisions_of_record": found.recorded,
            "decisions_beside_the_record": found.relabelled,
            "verdicts": dg.MetadataValue.md(verdict_table(found.newest, settings)),
            "lift": dg.MetadataValue.md(lift_plot(found.newest)),
        }
    return about
