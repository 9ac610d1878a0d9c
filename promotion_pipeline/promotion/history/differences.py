"""What of a recorded decision is another by the data as they are now, its stated metrics first of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from promotion_pipeline.promotion.record.result import Result

TOLERANCE = 1e-9
"""Relative; sums of floats may be added in another order."""

ROWS = ("control_estimate", "estimate", "control_sample", "sample")
"""Of a metric: what another event or row changes, and another computation does not."""
VERDICTS = ("outcome", "guardrail", "reason")


class Difference(Result):
    """One number or word that is not what was recorded."""

    field: str
    recorded: Any
    recomputed: Any


def same(recorded: Any, recomputed: Any) -> bool:
    """Whether two values are one, numbers to within TOLERANCE."""
    if isinstance(recorded, float) and isinstance(recomputed, float):
        return math.isclose(recorded, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(recorded == recomputed)


def metric_differences(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """What differs of the metrics of each treatment, as `TREATMENT.METRIC.COLUMN`; of what the record has."""
    now = {_key(row): row for row in after}
    return [
        Difference(field=f"{treatment}.{metric}.{name}", recorded=row.get(name), recomputed=again.get(name))
        for (treatment, metric), row in ((_key(row), row) for row in before)
        for again in [now.get((treatment, metric), {})]
        for name in (*ROWS, *VERDICTS)
        if not same(row.get(name), again.get(name))
    ]


def metric_sentences(differences: Sequence[Difference]) -> list[str]:
    """Goals and guardrails that are judged otherwise now."""
    said = []
    for one in differences:
        of, _, column = one.field.rpartition(".")
        treatment, _, metric = of.partition(".")
        if column not in ("outcome", "guardrail") or not metric or (column == "guardrail" and one.recorded is None):
            continue
        if column == "outcome" and any(other.field == f"{of}.guardrail" for other in differences):
            continue
        kind = "guardrail" if column == "guardrail" else "metric"
        said.append(f"{kind} {metric!r} of {treatment} was {_word(one.recorded)} and is {_word(one.recomputed)}")
    return said


def is_of_rows(field: str) -> bool:
    """Whether a difference of a metric is one of the rows that it is made of."""
    return field.count(".") > 1 and field.rpartition(".")[2] in ROWS


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row.get("variant_name")), str(row.get("metric"))


def _word(code: object) -> str:
    return str(code).replace("_", " ")
