"""The experiments and variants that a batch names, and which of its rows name none.

Not here: what a row must be by itself, and how rows are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.incoming import outside_time
from promotion_pipeline.traffic.rows import EventRow, RequestRow

_SQL = statements(__file__)

Names: TypeAlias = tuple[str | None, str | None, str | None, str | None]
"""Experiment and its id, variant and its id, as a row gives them."""


@dataclass(frozen=True)
class Place:
    """What the names of a row mean."""

    experiment_id: str
    variant_id: str = ""
    """Of a request."""
    unknown: str | None = None
    """Why it is no place."""


@dataclass(frozen=True)
class Directory:
    """What a batch names, and the database's clock."""

    now: datetime
    dropped_before: datetime | None
    places: Mapping[Names, Place]

    def unusable(self, row: RequestRow | EventRow) -> str | None:
        """Why a row cannot be written; None: it can."""
        unknown = self.places[names_of(row)].unknown
        if unknown is not None or row.created_at is None:
            return unknown
        return outside_time(row.created_at, self.now, self.dropped_before)


def names_of(row: RequestRow | EventRow) -> Names:
    """What a row is found by."""
    if isinstance(row, RequestRow):
        return row.experiment, row.experiment_id, row.variant, row.variant_id
    return row.experiment, row.experiment_id, None, None


def look_up(connection: Connection, rows: Iterable[RequestRow | EventRow], *, are_requests: bool) -> Directory:
    """The directory of some rows: each of their names is looked up once."""
    given = {names_of(row) for row in rows}
    asked = {
        "names": sorted({names[0] for names in given if names[0] is not None}),
        "ids": sorted({names[1] for names in given if names[1] is not None}),
    }
    found = connection.execute(_SQL["named_experiments"], asked).fetchall()
    clock = connection.execute(_SQL["clock"]).fetchone()
    assert clock is not None
    experiments: dict[tuple[str | None, str | None], str] = {}
    variants: dict[tuple[str, str | None, str | None], str] = {}
    for row in found:
        experiments |= {(row["name"], None): row["id"], (None, row["id"]): row["id"]}
        if row["variant_id"] is not None:
            variants[row["id"], row["variant_name"], None] = row["variant_id"]
            variants[row["id"], None, row["variant_id"]] = row["variant_id"]
    places = {names: _place(names, experiments, variants if are_requests else None) for names in given}
    return Directory(clock["now"], clock["dropped_before"], places)


def _place(
    names: Names,
    experiments: Mapping[tuple[str | None, str | None], str],
    variants: Mapping[tuple[str, str | None, str | None], str] | None,
) -> Place:
    name, key, variant, variant_key = names
    if (name is None) == (key is None):
        return Place("", unknown="give experiment (its name) or experimentId, one of them")
    if variants is not None and (variant is None) == (variant_key is None):
        return Place("", unknown="give variant (its name) or variantId, one of them")
    experiment = experiments.get((name, key))
    if experiment is None:
        return Place("", unknown=f"there is no experiment {(name or key)!r}")
    if variants is None:
        return Place(experiment)
    found = variants.get((experiment, variant, variant_key))
    if found is None:
        return Place("", unknown=f"the experiment has no variant {(variant or variant_key)!r}")
    return Place(experiment, found)
