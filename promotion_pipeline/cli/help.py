"""Help that begins with examples."""

from __future__ import annotations


def examples(summary: str, *lines: str, more: str = "") -> str:
    """Text for `help=`: the examples, then what the command does."""
    shown = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExamples:\n{shown}\n\n{summary}" + (f"\n\n{more}" if more else "")
