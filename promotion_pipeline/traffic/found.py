"""What a read-back finds, in the deliveries: somebody else's edit after a split was served, or the end of one.

Call these under the experiment's lock: what they change is what acts go by.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from promotion_pipeline.store.database import Connection
from promotion_pipeline.traffic import telling
from promotion_pipeline.traffic.allocations import Split, rounded, write_allocation
from promotion_pipeline.traffic.deliveries import (
    Served,
    TrafficDelivery,
    TrafficState,
    note_served,
    written,
)
from promotion_pipeline.traffic.delivery import OnVerified
from promotion_pipeline.traffic.reading import Reading
from promotion_pipeline.traffic.targets.configured import kind_of
from promotion_pipeline.traffic.targets.port import agrees

LAG = timedelta(minutes=10)
"""So long after a split was served, an answer with the one of before may be that of a copy that lags."""


def lags(delivery: TrafficDelivery, reading: Reading, names: dict[str, str], at: datetime) -> bool:
    """Whether a target that has just served the wanted split answers with what was there before."""
    if delivery.verified_at is None or at - delivery.verified_at > LAG or reading.split is None:
        return False
    earlier = [{names.get(key, key): share for key, share in split.items()} for split in delivery.expected or ()]
    return any(agrees(reading.split, split, reading.unit) for split in earlier)


def note_edit(
    connection: Connection, experiment: Served, delivery: TrafficDelivery | None, decided: Split, reading: Reading
) -> TrafficDelivery | None:
    """The target serves another split than the decided one: the newest delivery is in conflict, and people are told.

    Args:
        delivery: the newest; where it wanted another split than is decided by now (somebody changed our own table), or
            there is none, one is written that begins in conflict, so that a person can adopt or overwrite.

    Returns:
        None where the very edit is known.
    """
    ids = {name: key for key, name in experiment.names.items()}
    served = {ids.get(name, name): share for name, share in (reading.split or {}).items()}
    wanted = dict(sorted((experiment.names.get(key, key), share) for key, share in decided.items()))
    said = telling.conflict_sentence(reading.where, reading.split or {}, wanted, reading.changed_by)
    note_served(connection, experiment.id, served)
    if delivery is None or delivery.wanted != rounded(decided):
        found = _written_in_conflict(connection, experiment, decided, served, said)
    elif delivery.state is TrafficState.CONFLICTED and delivery.served == served:
        return None
    else:
        row = connection.execute(
            "UPDATE traffic_deliveries SET state = 'conflicted', served = %s, error = %s"
            " WHERE id = %s AND state IN ('verified', 'conflicted') RETURNING *",
            [Jsonb(written(served)), said, delivery.id],
        ).fetchone()
        found = None if row is None else TrafficDelivery.of(row)
    if found is not None:
        telling.tell_of_conflict(connection, found, experiment.name, said, is_later=True)
    return found


def note_agreement(
    connection: Connection, experiment: Served, delivery: TrafficDelivery, on_verified: OnVerified
) -> TrafficDelivery | None:
    """The target serves by now what the newest delivery wants, whoever brought it there: it is verified."""
    row = connection.execute(
        "UPDATE traffic_deliveries SET state = 'verified', served = wanted, error = NULL,"
        " verified_at = clock_timestamp() WHERE id = %s AND state IN ('conflicted', 'failed') RETURNING *",
        [delivery.id],
    ).fetchone()
    if row is None:
        return None
    settled = TrafficDelivery.of(row)
    wanted = {experiment.names.get(key, key): share for key, share in settled.wanted.items()}
    note_served(connection, experiment.id, settled.wanted)
    telling.tell_of_served(connection, settled, experiment.name, wanted)
    on_verified(connection, settled)
    return settled


def _written_in_conflict(
    connection: Connection, experiment: Served, decided: Split, served: Split, said: str
) -> TrafficDelivery | None:
    kept, wanted = write_allocation(connection, experiment.id, decided), rounded(decided)
    if kept is None or wanted is None:
        return None
    connection.execute(
        "UPDATE traffic_deliveries SET state = 'superseded'"
        " WHERE experiment_id = %s AND state IN ('pending', 'applied', 'conflicted', 'failed')",
        [experiment.id],
    )
    row = connection.execute(
        "INSERT INTO traffic_deliveries (experiment_id, generation, target, wanted, expected, served, state, error)"
        " VALUES (%s, %s, %s, %s, '[]', %s, 'conflicted', %s) RETURNING *",
        [
            experiment.id,
            kept.generation,
            kind_of(experiment.target).value,
            Jsonb(written(wanted)),
            Jsonb(written(served)),
            said,
        ],
    ).fetchone()
    return None if row is None else TrafficDelivery.of(row)
