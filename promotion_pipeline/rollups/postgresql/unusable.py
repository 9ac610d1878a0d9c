"""Numbers of requests that no sum can hold: they are left out of it, counted, and named by their experiment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount, latency

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


def unusable_since(connection: psycopg.Connection[Any], since: datetime) -> tuple[Unusable, ...]:
    """What running experiments logged since then that no sum can hold, by name; O(requests since then).

    Of the product's own table: a log elsewhere is asked for its sums, not for its rows.
    """
    latencies, values = latency(sql.SQL("request.latency_ms")), amount(sql.SQL("request.value"))
    query = _SQL["unusable_since"].format(latency=latencies, amount=values)
    with connection.cursor(row_factory=class_row(Unusable)) as cursor:
        return tuple(cursor.execute(query, [since]).fetchall())
