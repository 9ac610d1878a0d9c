"""Tables of the Dagster UI that several parts of it show."""

from __future__ import annotations

from collections.abc import Sequence

from promotion_pipeline.decisions.comparison import DIFF_COLUMNS, LabelDiff, diff_cells
from promotion_pipeline.decisions.late import LateVerdict
from promotion_pipeline.text.tables import cell, markdown_table


def diff_table(found: LabelDiff) -> str:
    """What changes between two labels."""
    command = f"promotion-pipeline diff {found.label_a!r} {found.label_b!r}"
    if not found.different:
        return f"{cell(found.summary)}."
    return f"{cell(found.summary)}.\n\n" + markdown_table(
        DIFF_COLUMNS, [diff_cells(one) for one in found.different], command
    )


def late_table(found: Sequence[LateVerdict]) -> str:
    """Decisions of record that would be others now, for rows that came late."""
    if not found:
        return "No row that came late changes a decision."
    rows = [
        (
            late.experiment_name,
            late.level,
            late.summary,
            ", ".join(f"{stood.winner} ({'live' if stood.is_live else 'rolled back'})" for stood in late.promotions)
            or "none",
        )
        for late in found
    ]
    return markdown_table(
        ("experiment", "level", "what", "promotions that stood on them"), rows, "promotion-pipeline diff record latest"
    )
