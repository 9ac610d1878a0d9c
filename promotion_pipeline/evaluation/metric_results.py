"""The stated metrics of a block as rows: one an hour, experiment, treatment and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.goals import GoalsAndGuardrails, fill_verdicts, goals_and_guardrails
from promotion_pipeline.evaluation.lanes import DIRECTIONS, KINDS, ROLES, Lanes, lanes_of
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints, Layout
from promotion_pipeline.evaluation.metric_sums import MetricRows, index_metrics
from promotion_pipeline.evaluation.metric_tests import (
    ADJUSTED,
    GUARDRAIL_VERDICTS,
    OF_SOME,
    OUTCOMES,
    REASONS,
    TESTED,
    MetricTable,
    fill_tests,
)
from promotion_pipeline.evaluation.past import past_differs
from promotion_pipeline.evaluation.sums import Block
from promotion_pipeline.evaluation.tables import HourlySums

CODED: dict[str, list[str]] = {
    "kind": [word.value for word in KINDS],
    "role": [word.value for word in ROLES],
    "direction": [word.value for word in DIRECTIONS],
    "outcome": [word.value for word in OUTCOMES],
    "guardrail": [word.value for word in GUARDRAIL_VERDICTS],
    "reason": [word.value for word in REASONS],
}
"""Columns of words, with all that each may say."""
OF_LANE = {"metric": "name", "kind": "kind", "role": "role", "direction": "direction"}
"""Columns that say what a lane is, by the name that `Lanes` has for them."""
NUMBERS = (*TESTED, *OF_SOME, ADJUSTED, "margin_percent")


@dataclass(frozen=True)
class StatedMetrics:
    """All that experiments state: the rows that were kept of it, and what is found block by block."""

    layout: Layout
    hours_us: Ints
    lanes: Lanes
    rows: MetricRows
    table: MetricTable

    def judged(self, block: Block, own: Arms, tuned_for: Floats) -> GoalsAndGuardrails | None:
        """Test and judge the metrics of a block; None: it has none. O(cells of its lanes)."""
        where, lanes = self.lanes.of_units(block.units)
        if not len(lanes):
            return None
        table, rows = self.table.of(where), self.rows.within(where)
        fill_tests(table, block, own, rows, lanes, tuned_for)
        fill_verdicts(table, block, lanes)
        return goals_and_guardrails(table, block, lanes, past_differs(rows, lanes, own.requests.shape))


def stated_metrics(metrics: HourlySums | None, layout: Layout, hours_us: Ints) -> StatedMetrics | None:
    """The lanes of a layout with the rows of the sums of metrics; None: no experiment states a metric."""
    lanes = lanes_of(layout)
    if not len(lanes):
        return None
    table = MetricTable.blank((len(lanes), len(hours_us), len(layout.row) - 1))
    return StatedMetrics(layout, hours_us, lanes, index_metrics(metrics, layout, lanes, hours_us), table)


def metric_result_columns(stated: StatedMetrics, shown: Bools) -> dict[str, NDArray[Any]]:
    """The rows as raw columns, by lane, hour and treatment. O(rows).

    Args:
        shown: which (unit, hour) has rows.
    """
    lanes, layout, table = stated.lanes, stated.layout, stated.table
    row = layout.row[1:, lanes.unit].T[:, None, :]
    mask = shown[lanes.unit][:, :, None] & (row >= 0)
    shape, is_whole = mask.shape, bool(mask.all())

    def flat(values: NDArray[Any]) -> NDArray[Any]:
        # Where every cell has a row, the usual case, a column is a view.
        whole = np.broadcast_to(values, shape)
        return whole.reshape(-1) if is_whole else whole[mask]

    columns = {
        "row": flat(row).astype(np.int32),
        "hour": flat(np.arange(shape[1], dtype=np.int32)[None, :, None]),
        "control": flat(layout.row[0, lanes.unit][:, None, None]).astype(np.int32),
    }
    columns |= {name: flat(getattr(lanes, of)[:, None, None]) for name, of in OF_LANE.items()}
    columns["margin_percent"] = flat(100.0 * lanes.margin[:, None, None])
    columns |= {name: flat(values) for name, values in table.values.items()}
    columns |= {name: flat(getattr(table, name)) for name in ("outcome", "guardrail", "reason")}
    columns["is_adjusted"] = np.isfinite(columns["theta"])
    return columns


def no_metric_results() -> dict[str, NDArray[Any]]:
    """The columns of no rows."""
    columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype=np.int32) for name in ("row", "hour", "control")}
    columns |= {name: np.empty(0, dtype=np.int8) for name in ("metric", *CODED)}
    return columns | {name: np.empty(0) for name in NUMBERS} | {"is_adjusted": np.empty(0, dtype=bool)}
