"""Numbers of requests that no sum can hold: they are left out of it, counted, and named by their experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


@dataclass(frozen=True)
class Unusable:
    """Latencies and values of one experiment that were left out of its sums; their requests count all the same."""

    experiment_name: str
    latencies: int
    values: int

    @property
    def sentence(self) -> str:
        """What was left out, in words."""
        parts = [f"{self.latencies:,} of latency_ms"] if self.latencies else []
        parts += [f"{self.values:,} of value"] if self.values else []
        return f"{self.experiment_name}: numbers that cannot be used are left out of the sums: {' and '.join(parts)}"


def unusable_numbers(connection: psycopg.Connection[Any]) -> tuple[Unusable, ...]:
    """What was left out of the sums in the temporary table `fresh`, by name; O(rows of `fresh`)."""
    with connection.cursor(row_factory=class_row(Unusable)) as cursor:
        found = cursor.execute(_SQL["unusable_numbers"])
        return tuple(found.fetchall())
