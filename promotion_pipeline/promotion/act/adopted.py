"""What the columns of a team's own tables can hold of what an act writes: percentages, and who acted."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.record.splits import CENT
from promotion_pipeline.store.adoption.promotions import NAME_COLUMN
from promotion_pipeline.store.database import Connection
from promotion_pipeline.text.numbers import percent_text

WHOLE = Decimal(1)
_TYPE_OF = """
    SELECT format_type(atttypid, atttypmod) AS name FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped
"""


def smallest_share(connection: Connection) -> Decimal:
    """The steps in which `ab_variants.traffic_percentage` counts: a cent of a percent, or a whole percent."""
    return CENT if not _lost(connection, [CENT]) else WHOLE


def require_storable(connection: Connection, shares: Iterable[Decimal]) -> None:
    """Refuse percentages that the column would round.

    Raises:
        ConflictError: it would; says which, and what to do.
    """
    lost = _lost(connection, shares)
    if lost:
        raise ConflictError(
            f"ab_variants.traffic_percentage is {_type_of_shares(connection)} and cannot hold"
            f" {percent_text(float(lost[0]))}: state ramp steps that it can, or run ALTER TABLE"
            " ab_variants ALTER traffic_percentage TYPE numeric(5,2)"
        )


def _lost(connection: Connection, shares: Iterable[Decimal]) -> list[Decimal]:
    rows = connection.execute(
        sql.SQL("SELECT share FROM unnest(%s::numeric[]) AS share WHERE share::{}::numeric <> share").format(
            sql.SQL(_type_of_shares(connection))
        ),
        [list(shares)],
    )
    return [row["share"] for row in rows]


def _type_of_shares(connection: Connection) -> str:
    row = connection.execute(_TYPE_OF, ["ab_variants", "traffic_percentage"]).fetchone()
    assert row is not None
    return str(row["name"])


def recorded_actor(connection: Connection, by: str) -> dict[str, Any]:
    """The columns of `experiment_promotions` that say who promoted: a name beside `promoted_by` where that is a UUID.

    A name that is a UUID is in both, so that the team's own queries find it.
    """
    if connection.execute(_TYPE_OF, ["experiment_promotions", NAME_COLUMN]).fetchone() is None:
        return {"promoted_by": by}
    try:
        return {"promoted_by": UUID(by), NAME_COLUMN: by}
    except ValueError:
        return {"promoted_by": None, NAME_COLUMN: by}
