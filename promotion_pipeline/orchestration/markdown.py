"""Tables of the Dagster UI that several parts of it show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from promotion_pipeline.decisions.comparison import DIFF_COLUMNS, LabelDiff, diff_cells
from promotion_pipeline.decisions.late import LateVerdict

MAX_ROWS = 50


def cell(value: object) -> str:
    """Text that cannot break a table or carry markup: names are what a user typed."""
    if value is None or value != value:
        return "–"
    text = escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([|\[\]`*_<>\\])", r"\\\1", text)


def table(heads: Sequence[str], rows: Sequence[Iterable[object]], more: str) -> str:
    """A table of plain cells, cut at MAX_ROWS rows; `more` says where the others are."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f"\n{len(rows) - MAX_ROWS:,} more: {more}.")
    return "\n".join(lines)


def diff_table(found: LabelDiff) -> str:
    """What changes between two labels."""
    command = f"promotion-pipeline diff {found.label_a!r} {found.label_b!r}"
    if not found.different:
        return f"{cell(found.summary)}."
    return f"{cell(found.summary)}.\n\n" + table(DIFF_COLUMNS, [diff_cells(one) for one in found.different], command)


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
    return table(
        ("experiment", "level", "what", "promotions that stood on them"), rows, "promotion-pipeline diff record latest"
    )
