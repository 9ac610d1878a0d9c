"""How many of an hour's comparisons stand out once it is counted how many there are."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from promotion_pipeline.statistics import benjamini_hochberg
from promotion_pipeline.store.database import Store

LEVEL = 0.05


def discoveries(store: Store, hour: datetime) -> dict[str, int]:
    """Comparisons of all experiments at one hour with p at most 5 %, as they are and after Benjamini-Hochberg.

    Reported about the hour as a whole and in no row of a table: adjusted for each other, the numbers of an experiment
    would depend on which others happen to run. Of those that remain, 5 % are expected to differ from control in
    nothing. O(comparisons of the hour).

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        rows = connection.execute("SELECT p_value FROM significance_results WHERE hour = %s", [hour]).fetchall()
    p_values = np.array([row["p_value"] for row in rows], dtype=np.float64)
    return {
        "comparisons": int(np.isfinite(p_values).sum()),
        "p_at_most_5_percent": int((p_values <= LEVEL).sum()),
        "remain_after_benjamini_hochberg": int((benjamini_hochberg(p_values) <= LEVEL).sum()),
    }
