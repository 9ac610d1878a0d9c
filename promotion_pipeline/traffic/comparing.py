"""Decided, served and observed beside each other: what is compared, and what is kept and told of it.

The comparison itself, with the acts' locks, is in `promotion.unattended.comparing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic import telling
from promotion_pipeline.traffic.allocations import Split, rounded
from promotion_pipeline.traffic.deliveries import Served, TrafficDelivery, TrafficState, written
from promotion_pipeline.traffic.observed import SETTLES, WINDOW, Observed
from promotion_pipeline.traffic.reading import Reading
from promotion_pipeline.traffic.targets.configured import TargetKind, kind_of
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE

_SQL = statements(__file__)
TELL_UNREAD_AFTER = timedelta(hours=1)
"""A target that is down for a moment wakes nobody."""
TOLD_ALONE = 3
"""More experiments that cannot be read are one message: their system is down."""
EVERY = timedelta(minutes=55)


@dataclass(frozen=True)
class Compared:
    """One experiment, as the comparison found it."""

    experiment: Served
    decided: dict[str, Decimal]
    """Percent by variant id, as `ab_variants` says."""
    delivery: TrafficDelivery | None
    """The newest."""
    phase_started_at: datetime | None
    read_at: datetime | None
    """When its target was read last."""

    @property
    def kind(self) -> TargetKind | None:
        """What serves it; None: `traffic_target` is none."""
        try:
            return kind_of(self.experiment.target)
        except ConfigError:
            return None

    @property
    def wanted(self) -> dict[str, Decimal] | None:
        """The decided split as it is delivered; None: it gives nobody anything."""
        return rounded(self.decided)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the split is served by a system that has to be asked."""
        return self.kind is not None and self.kind not in SERVED_FROM_OUR_DATABASE

    @property
    def is_judged(self) -> bool:
        """Whether what the log shows is to be the decided split: it is said to be served.

        An experiment that was never delivered and names no target is judged by its sample ratio alone.
        """
        if self.delivery is None:
            return self.experiment.configured is not None
        return self.delivery.state is TrafficState.VERIFIED

    def observed_since(self, at: datetime) -> datetime | None:
        """From when on the log must show the decided split; None: that is not known, or not yet."""
        verified = None if self.delivery is None else self.delivery.verified_at
        begun = [one for one in (verified, self.phase_started_at) if one is not None]
        since = max([*(one + SETTLES for one in begun), at - WINDOW]) if begun else None
        return None if since is None or since >= at else since

    def named(self, split: Split) -> dict[str, Decimal]:
        """A split by variant name."""
        return dict(sorted((self.experiment.names.get(key, key), share) for key, share in split.items()))


@dataclass(frozen=True)
class TrafficFinding:
    """What was found of one experiment."""

    compared: Compared
    reading: Reading | None = None
    """None: its target was not asked."""
    read_at: datetime | None = None
    observed: Observed | None = None
    unobserved: str | None = None
    """Why the log could not be asked; None: it was."""
    refused: str | None = None
    """Why our own doors do not serve its flag."""

    @property
    def differs(self) -> str | None:
        """What is wrong beyond the state of the delivery."""
        if self.refused is not None:
            return f"the flag is not served: {self.refused}"
        if self.observed is None or not self.compared.is_judged:
            return None
        return self.observed.difference(self.compared.decided, self.compared.experiment.names)


def read_compared(connection: Connection) -> list[Compared]:
    """Every experiment that runs or whose promotion stands."""
    rows = connection.execute(_SQL["compared"]).fetchall()
    ids = [row["id"] for row in rows]
    found = connection.execute(_SQL["newest_deliveries"], {"ids": ids}).fetchall()
    newest = {row["experiment_id"]: TrafficDelivery.of(row) for row in found}
    return [
        Compared(
            experiment=Served(row["id"], row["name"], row["configured"], row["names"]),
            decided={key: Decimal(str(share)) for key, share in row["split"].items() if share is not None},
            delivery=newest.get(row["id"]),
            phase_started_at=row["phase_started_at"],
            read_at=row["read_at"],
        )
        for row in rows
    ]


def is_comparison_due(store: Store, every: timedelta = EVERY) -> bool:
    """Whether there is anything to compare, and the last time is so long ago.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        row = connection.execute(_SQL["last_compared"]).fetchone()
    assert row is not None
    return bool(row["is_any"]) and (row["compared_at"] is None or row["now"] - row["compared_at"] >= every)


def keep_findings(connection: Connection, findings: Sequence[TrafficFinding]) -> None:
    """Write what was found, and tell what is new: each incident once, however many compare at a time.

    In the caller's transaction, which should hold no other lock.
    """
    connection.execute(_SQL["alone"])
    ids = [finding.compared.experiment.id for finding in findings]
    kept = {row["experiment_id"]: row for row in connection.execute(_SQL["kept"], {"ids": ids})}
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    untold = [
        unread
        for finding in findings
        if (unread := _keep(connection, finding, kept.get(finding.compared.experiment.id, {}), row["now"])) is not None
    ]
    told = untold if len(untold) <= TOLD_ALONE else untold[:1]
    for experiment, said, since in told:
        telling.tell_of_unread(connection, experiment, said, since, others=len(untold) - len(told))


def _keep(
    connection: Connection, finding: TrafficFinding, before: Mapping[str, Any], now: datetime
) -> tuple[Served, str, datetime] | None:
    """Write what was found of one experiment; what is to be told of its target, if it cannot be read."""
    compared, reading, observed = finding.compared, finding.reading, finding.observed
    unread = None if reading is None else reading.unread
    unread_since = None if unread is None else before.get("unread_since") or now
    told_at = None if unread is None else before.get("unread_told_at")
    is_to_be_told = reading is not None and (reading.needs_a_person or now - (unread_since or now) >= TELL_UNREAD_AFTER)
    untold = None
    if unread is not None and told_at is None and is_to_be_told:
        untold = (compared.experiment, unread, unread_since or now)
        told_at = now
    differs = finding.differs
    if differs is not None and before.get("differs_since") is None:
        telling.tell_of_difference(connection, compared.experiment, compared.named(compared.decided), differs, now)
    served = _served(compared, reading)
    connection.execute(
        _SQL["keep"],
        {
            "experiment_id": compared.experiment.id,
            "at": now,
            "served": None if served is None else Jsonb(written(served)),
            "read_at": None if served is None else finding.read_at,
            "unread": unread,
            "unread_since": unread_since,
            "unread_told_at": told_at,
            "observed": None if observed is None else Jsonb(dict(observed.counts)),
            "observed_unit": None if observed is None else observed.unit.value,
            "observed_since": None if observed is None else observed.since,
            "observed_until": None if observed is None else observed.until,
            "p_value": None if observed is None else observed.p_value(compared.decided),
            "unobserved": finding.unobserved,
            "differs": differs,
            "differs_since": None if differs is None else before.get("differs_since") or now,
        },
    )
    return untold


def _served(compared: Compared, reading: Reading | None) -> dict[str, Decimal] | None:
    """What the target said, by variant id; a name that is none of ours stays."""
    if reading is None or reading.split is None:
        return None
    ids = {name: key for key, name in compared.experiment.names.items()}
    return {ids.get(name, name): share for name, share in reading.split.items()}
