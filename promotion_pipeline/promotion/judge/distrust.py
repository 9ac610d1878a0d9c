"""When the numbers cannot be trusted: what is broken, and that whoever promotes all the same has seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from promotion_pipeline.errors import InputError, UntrustedError
from promotion_pipeline.evaluation import Warn
from promotion_pipeline.promotion.judge.judged import Judged
from promotion_pipeline.promotion.record.inputs import member_of
from promotion_pipeline.text.numbers import count_text, p_sentence, rate_text, share_text


class Despite(StrEnum):
    """What a person may promote in spite of, having seen it."""

    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    """The traffic was not split as declared: assignment or logging is broken, so the arms are not comparable."""


_P_VALUES = {
    Warn.SAMPLE_RATIO_MISMATCH: "srm_p_value",
    Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH: "sequential_srm_p_value",
}
"""Warnings that a broken split gives, and where the decision has their p-value."""


def distrust_of(judged: Judged) -> str | None:
    """What is broken, with the numbers; None: nothing is known against them."""
    decision = judged.decision
    if decision is None:
        return None
    found = [(code, decision.get(column)) for code, column in _P_VALUES.items() if code in decision["warnings"]]
    if not found:
        return None
    code, p_value = found[0]
    looks = " over all looks at once" if code is Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH else ""
    found_by = f"sample ratio mismatch, {p_sentence(p_value)}{looks}"
    return f"the traffic is not split as declared ({found_by}){_shares(judged.metrics)}"


def _shares(metrics: Sequence[Mapping[str, Any]]) -> str:
    unit = "users" if metrics and all(row.get("users") for row in metrics) else "requests"
    total = sum(row.get(unit) or 0 for row in metrics)
    if not total:
        return ""
    said = (
        f"{row['variant_name']} has {count_text(seen)} of {count_text(total)} {unit} ({rate_text(seen / total, 1)},"
        f" declared {share_text(row['traffic_percentage'] or 0)})"
        for row in metrics
        for seen in [row.get(unit) or 0]
    )
    return f": {', '.join(said)}"


def despite_of(given: Sequence[Despite | str] | None) -> frozenset[Despite] | None:
    """What the caller acknowledges; None: its door asks nobody.

    Raises:
        InputError: one of them is unknown.
    """
    return None if given is None else frozenset(member_of(Despite, item, "despite") for item in given)


def acknowledgement(judged: Judged, despite: frozenset[Despite] | None, reason: object) -> dict[str, list[str]]:
    """What the record says of an act on numbers that cannot be trusted; {} where nothing is known against them.

    Args:
        despite: what the person acknowledged; None: the act came through a call that asks nobody (unattended, or
            exactly as first specified), and the record says that nobody acknowledged it.
        reason: why; needed with an acknowledgement.

    Raises:
        UntrustedError: a door that asks was not answered.
        InputError: acknowledged without a reason.
    """
    distrust = distrust_of(judged)
    if distrust is None:
        return {}
    item = Despite.SAMPLE_RATIO_MISMATCH
    if despite is None:
        return {"unacknowledged": [item.value]}
    name = judged.experiment.name
    if item not in despite:
        raise UntrustedError(
            f"{name!r}: the numbers cannot be trusted: {distrust}. Find out what is broken; to promote all the same,"
            f" acknowledge it (--despite {item.value}) and give a reason"
        )
    if not (isinstance(reason, str) and reason.strip()):
        raise InputError(f"{name!r}: a promotion despite {item.value} needs a reason: say why you trust it (--reason)")
    return {"despite": [item.value]}
