"""Where the measurement of a promise stands; the database's checks name the same words."""

from __future__ import annotations

from enum import StrEnum


class RealisedState(StrEnum):
    """Where the measurement of one promotion stands."""

    MEASURING = "measuring"
    """Requests that count are still to come, or may still arrive late; what is known so far is not the answer."""
    MEASURED = "measured"
    """Final."""
    NOT_MEASURABLE = "not_measurable"
    """Final: nothing says what came of it, and the reason is known."""


class RealisedSource(StrEnum):
    """Which requests say what came."""

    HOLDBACK = "holdback"
    """Those of the holdback: winner and control at the same time, as they were meant to be compared."""
    RAMP = "ramp"
    """Those of the ramp's steps in which control kept traffic: as good, and often few."""
    REST = "rest"
    """Those of the experiment's own phase that the decision had not seen: hours, and none of what users do later."""


class Unmeasurable(StrEnum):
    """Why nothing says what came of a promotion."""

    NO_TRAFFIC_ON_CONTROL = "no_traffic_on_control"
    """Control got no request after the decision: there was no holdback, and nothing to compare with."""
    TOO_FEW_REQUESTS = "too_few_requests"
    """The smaller arm has fewer requests than anything can be said with."""
    NOT_COMPUTABLE = "not_computable"
    """The lift has no number: control's metric is 0, or it needs users that the rest of a phase does not show."""
    BROKEN_SPLIT = "broken_split"
    """Winner and control did not get the shares that were decided: whoever got what, it was not by chance alone."""
    VARIANT_DELETED = "variant_deleted"
    """The winner or control exists no more, and its requests are gone with it."""
    NOT_RECORDED = "not_recorded"
    """It was recorded before this product was set up: its promise is not known."""


REASONS = {
    Unmeasurable.NO_TRAFFIC_ON_CONTROL: "control got no traffic after the decision: set holdback_percent to measure",
    Unmeasurable.TOO_FEW_REQUESTS: "too few requests came after the decision: set holdback_percent to measure",
    Unmeasurable.NOT_COMPUTABLE: "the lift of what came cannot be computed",
    Unmeasurable.BROKEN_SPLIT: "the traffic after the decision was not split as it was decided",
    Unmeasurable.VARIANT_DELETED: "the winner or control was deleted",
    Unmeasurable.NOT_RECORDED: "recorded before this product was set up",
}
"""The same in words."""
