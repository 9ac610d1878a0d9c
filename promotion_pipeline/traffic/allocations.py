"""The bucket lists in the database: the one in force, and every one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.store.database import Connection
from promotion_pipeline.traffic.allocation import (
    BUCKETS,
    BUCKETS_A_PERCENT,
    Allocation,
    Stretch,
    first_allocation,
    reallocated,
    shares,
    widths_of,
)

Split = Mapping[str, Decimal]
"""Variant id -> percent of traffic."""


@dataclass(frozen=True)
class CurrentAllocation:
    """The list of one generation; the variants of its stretches are ids."""

    generation: int
    """0: none is kept yet, the list is what the split says."""
    allocation: Allocation


def current_allocation(connection: Connection, experiment_id: UUID) -> CurrentAllocation | None:
    """Who gets which bucket by the split as it stands; None where there is no split (no variant has traffic).

    Where the split was changed past us, in `ab_variants`, the list is what the kept one becomes by it: the same for
    everybody who asks, and kept by the next `write_allocation`.
    """
    return _current(connection, experiment_id, split_now(connection, experiment_id))


def write_allocation(
    connection: Connection, experiment_id: UUID, split: Split, *, goes_back: bool = False
) -> CurrentAllocation | None:
    """Keep the list for a new split and give it the next generation; in the caller's transaction, under its lock.

    Call it before `ab_variants` is written: the list of the split that stands until then is kept as well, if it is
    not, so that the way back finds it.

    Args:
        split: percent by variant id.
        goes_back: put the newest earlier list of the same shares in place again, instead of computing one.

    Returns:
        None where the split gives nobody anything: nothing is kept.
    """
    now = _current(connection, experiment_id, split_now(connection, experiment_id))
    wanted = rounded(split)
    if wanted is None:
        return None
    generation = _newest_generation(connection, experiment_id)
    if now is not None and now.generation == 0:
        generation = _keep(connection, experiment_id, generation + 1, now.allocation)
    earlier = _earlier_list(connection, experiment_id, wanted) if goes_back else None
    if earlier is not None:
        allocation = earlier
    elif now is None:
        allocation = first_allocation(wanted)
    else:
        allocation = reallocated(now.allocation, wanted)
    return CurrentAllocation(_keep(connection, experiment_id, generation + 1, allocation), allocation)


def rounded(split: Split) -> dict[str, Decimal] | None:
    """The split in whole buckets: what does not divide goes to the largest remainders (ties: the smaller id).

    A team's own table may hold thirds, or shares that sum to 99.99. None where nothing is shared out.
    """
    given = {name: max(Decimal(share), Decimal(0)) for name, share in split.items() if Decimal(share).is_finite()}
    whole = sum(given.values(), Decimal(0))
    if whole == 0:
        return None
    exact = {name: share * BUCKETS / whole for name, share in given.items()}
    widths = {name: int(width) for name, width in exact.items()}
    missing = BUCKETS - sum(widths.values())
    for name in sorted(exact, key=lambda name: (widths[name] - exact[name], name))[:missing]:
        widths[name] += 1
    return {name: Decimal(width) / BUCKETS_A_PERCENT for name, width in widths.items()}


def allocation_in_force(generation: int, buckets: list[list[object]], split: Split) -> CurrentAllocation | None:
    """What `current_allocation` answers, of a kept list and a split that are read already; without SQL.

    Args:
        generation: of the newest kept list; 0: none is kept.
        buckets: that list as it is stored.
        split: percent by variant id, as it stands.
    """
    wanted = rounded(split)
    if wanted is None:
        return None
    if generation == 0:
        return CurrentAllocation(0, first_allocation(wanted))
    kept = _list_of(buckets)
    if _is_of(kept, wanted):
        return CurrentAllocation(generation, kept)
    return CurrentAllocation(0, reallocated(kept, wanted))


def _current(connection: Connection, experiment_id: UUID, split: Split) -> CurrentAllocation | None:
    """The kept list, or what becomes of it by the split; then its generation is 0, for it is not kept."""
    row = connection.execute(
        "SELECT generation, buckets FROM traffic_allocations WHERE experiment_id = %s ORDER BY generation DESC LIMIT 1",
        [experiment_id],
    ).fetchone()
    if row is None:
        return allocation_in_force(0, [], split)
    return allocation_in_force(row["generation"], row["buckets"], split)


def split_now(connection: Connection, experiment_id: UUID) -> dict[str, Decimal]:
    """Percent by variant id, as `ab_variants` says."""
    rows = connection.execute(
        "SELECT id::text, traffic_percentage::numeric AS share FROM ab_variants WHERE experiment_id = %s",
        [experiment_id],
    )
    return {row["id"]: row["share"] for row in rows if row["share"] is not None}


def _earlier_list(connection: Connection, experiment_id: UUID, split: Split) -> Allocation | None:
    rows = connection.execute(
        "SELECT buckets FROM traffic_allocations WHERE experiment_id = %s ORDER BY generation DESC", [experiment_id]
    )
    lists = (_list_of(row["buckets"]) for row in rows)
    return next((kept for kept in lists if _is_of(kept, split)), None)


def _newest_generation(connection: Connection, experiment_id: UUID) -> int:
    row = connection.execute(
        "SELECT coalesce(max(generation), 0) AS newest FROM traffic_allocations WHERE experiment_id = %s",
        [experiment_id],
    ).fetchone()
    assert row is not None
    return int(row["newest"])


def _keep(connection: Connection, experiment_id: UUID, generation: int, allocation: Allocation) -> int:
    buckets = [[stretch.variant, stretch.width] for stretch in allocation]
    connection.execute(
        "INSERT INTO traffic_allocations (experiment_id, generation, buckets) VALUES (%s, %s, %s)",
        [experiment_id, generation, Jsonb(buckets)],
    )
    return generation


def _list_of(buckets: list[list[object]]) -> Allocation:
    return tuple(Stretch(str(variant), int(str(width))) for variant, width in buckets)


def _is_of(allocation: Allocation, split: Split) -> bool:
    return shares(allocation) == {name: width for name, width in widths_of(split).items() if width}
