"""Plain tables: Markdown, and lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

MAX_ROWS = 50


def cell(value: object) -> str:
    """Text that cannot break a Markdown table or carry markup: names are what a user typed."""
    if value is None or value != value:
        return "–"
    text = escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([|\[\]`*_<>\\])", r"\\\1", text)


def markdown_table(heads: Sequence[str], rows: Sequence[Iterable[object]], more: str) -> str:
    """A Markdown table of plain cells, cut at MAX_ROWS rows; `more` says where the others are."""
    return raw_markdown_table(heads, [map(cell, row) for row in rows], more)


def raw_markdown_table(heads: Sequence[str], rows: Sequence[Iterable[str]], more: str) -> str:
    """The same of cells that are Markdown already."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f"\n{len(rows) - MAX_ROWS:,} more: {more}.")
    return "\n".join(lines)


def text_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as lines of text, for readers that show no other."""
    return "\n".join(" | ".join(row) for row in (heads, *rows))
