"""All experiments at one look, from what is stored: the forest plot of the newest hour of record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.text.forest import MOST, Forest, ForestArm, forest

_SQL = statements(__file__)


@dataclass(frozen=True)
class Glance:
    """The picture, and the instant that it looks from."""

    forest: Forest
    as_of: datetime


def newest_forest(store: Store) -> Glance | None:
    """The picture of the newest hour that is decided; None: nothing is, or nothing has an interval.

    Raises:
        DependencyError: the database is down.
    """
    rows = store.rows(_SQL["that_matter"], {"label": record_label(store.settings), "most": MOST})
    arms = [
        ForestArm(
            row["name"],
            row["group_name"],
            math.nan if row["improvement"] is None else float(row["improvement"]) / 100,
            math.nan if row["lift_lower"] is None else row["lift_lower"],
            math.nan if row["lift_upper"] is None else row["lift_upper"],
        )
        for row in rows
    ]
    found = forest(arms, {row["group_name"]: row["total"] for row in rows})
    return None if found is None else Glance(found, rows[0]["as_of"])
