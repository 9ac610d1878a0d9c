"""One promotion's promise and outcome in a sentence."""

from __future__ import annotations

from promotion_pipeline.promotion.ledger.ledger import LedgerEntry
from promotion_pipeline.promotion.ledger.states import RealisedState
from promotion_pipeline.text.numbers import instant_text, interval_text, rate_text

NOT_OF_GOALS = "goals are not measured here: every lift is that of the primary metric"


def metric_text(entry: LedgerEntry) -> str:
    """What the promise is of."""
    return "unknown" if entry.metric is None else entry.metric


def awaited_text(entry: LedgerEntry) -> str:
    """From when there will be a number, where there is none yet."""
    return "" if entry.number_from is None else f": a number from {instant_text(entry.number_from)} on"


def outcome_sentence(entry: LedgerEntry) -> str:
    """What was promised and what came, without a full stop.

    The same words stand in the history and on the page.
    """
    promised = f"promised {rate_text(entry.promised_lift, 1, signed=True)}"
    if entry.shrunken_lift is not None:
        promised += f", expected {rate_text(entry.shrunken_lift, 1, signed=True)}"
    if entry.metric not in (None, "conversion"):
        promised += f" of {entry.metric}"
    if entry.goals:
        promised += f" (its goals {', '.join(map(repr, entry.goals))} are not measured here)"
    if entry.because is not None:
        return f"{promised}; what came is not measurable: {entry.because}"
    if entry.realised_lift is None or entry.source is None:
        return f"{promised}; what came is not measured yet{awaited_text(entry)}"
    so_far = " so far" if entry.state is RealisedState.MEASURING else ""
    interval = interval_text(entry.realised_lower, entry.realised_upper)
    came = f"came{so_far} {rate_text(entry.realised_lift, 1, signed=True)} ({interval}), by the {entry.source.value}"
    return f"{promised}; {came}"
