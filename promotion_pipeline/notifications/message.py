"""What is said, apart from how a channel shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.store.outbox import Level
from promotion_pipeline.text.tables import text_table


@dataclass(frozen=True)
class Fact:
    """One number, with its name and unit."""

    label: str
    value: str


@dataclass(frozen=True)
class Link:
    """Where to read on."""

    label: str
    url: str


@dataclass(frozen=True)
class MessageTable:
    """Rows of text for channels that can show them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Message:
    """One notification in words: what happened, the numbers that matter, what to do, where to look."""

    event: str
    level: Level
    title: str
    """One line."""
    at: datetime
    """When it happened, UTC."""
    what_happened: tuple[str, ...]
    """Sentences."""
    facts: tuple[Fact, ...] = ()
    next_step: str = ""
    links: tuple[Link, ...] = ()
    experiment_name: str | None = None
    resolves: bool = False
    """It says that an earlier problem with the same thread key is over."""
    table: MessageTable | None = None

    def as_text(self) -> str:
        """The whole message as plain text."""
        parts = ["\n".join(self.what_happened)]
        if self.facts:
            parts.append("\n".join(f"{fact.label}: {fact.value}" for fact in self.facts))
        if self.table is not None:
            parts.append(text_table(self.table.columns, self.table.rows))
        if self.next_step:
            parts.append(f"What to do: {self.next_step}")
        if self.links:
            parts.append("\n".join(f"{link.label}: {link.url}" for link in self.links))
        return "\n\n".join(part for part in parts if part)


def shortened(text: str, longest: int) -> str:
    """`text`, cut to `longest` characters with an ellipsis."""
    return text if len(text) <= longest else text[: max(longest - 1, 0)] + "…"


def one_line(text: str) -> str:
    """`text` without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
