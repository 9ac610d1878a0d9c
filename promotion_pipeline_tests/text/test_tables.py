"""Plain tables."""

from __future__ import annotations

from promotion_pipeline.text.tables import MAX_ROWS, markdown_table, text_table


def test_no_cell_breaks_a_markdown_table_or_carries_markup() -> None:
    row = markdown_table(("name",), [("a|b <script> [x](y)\nc",)], "elsewhere").splitlines()[2]
    assert row == r"| a\|b &lt;script&gt; \[x\](y) c |"


def test_a_long_markdown_table_says_where_the_rest_is() -> None:
    lines = markdown_table(("n",), [(number,) for number in range(MAX_ROWS + 3)], "the log").splitlines()
    assert (len(lines), lines[-1]) == (2 + MAX_ROWS + 2, "3 more: the log.")


def test_a_table_of_text_has_a_line_a_row() -> None:
    assert text_table(("a", "b"), [("1", "2")]) == "a | b\n1 | 2"
