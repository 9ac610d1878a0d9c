"""What notifications about the system say, and what is read of an event that has no words of its own."""

from __future__ import annotations

from pydantic import StrictBool

from promotion_pipeline.store.payload import Instant, Number, Payload, Rows, Text, Texts
from promotion_pipeline.text.numbers import UNKNOWN


class RunFailurePayload(Payload):
    """A run failed for good."""

    job: Text = UNKNOWN
    run_id: Text = ""
    step: Text = ""
    attempts: Number = None
    error: Text = "no message"


class RunRecoveredPayload(Payload):
    """The job works again."""

    job: Text = UNKNOWN
    run_id: Text = ""


class SummaryPayload(Payload):
    """What an hour decided, and what happened since the summary before."""

    as_of: Instant = None
    evaluated: Number = None
    eligible: Number = None
    not_judged: Number = None
    promoted: Number = None
    rolled_back: Number = None
    waiting: Number = None
    promoted_names: Texts = ()
    experiments: Rows = ()
    """Each reads as `SummaryRow`."""
    is_cut: StrictBool = False
    """Not every experiment is among them."""


class SummaryRow(Payload):
    """One experiment of a summary."""

    experiment: Text = UNKNOWN
    verdict: Text = UNKNOWN
    candidate: Text = "-"
    improvement: Number = None
    """Percent."""
    confidence: Number = None
    """Percent."""
    sample_size: Number = None
