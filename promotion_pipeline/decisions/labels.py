"""The labels of decisions: which one a deployment acts on, and what stands beside it."""

from __future__ import annotations

from promotion_pipeline.config import Settings
from promotion_pipeline.config.choices import Mode
from promotion_pipeline.errors import InputError

RECORD = "record"
"""Label of the first decision about an hour, which is never rewritten."""
LATEST = "latest"
"""Label of a re-evaluation that was given none."""
SHADOW = "shadow"
"""Label of the first decision about an hour of a deployment in shadow mode: no record that a live one acts on."""
SHADOW_LATEST = "shadow-latest"
"""Label of a re-evaluation by such a deployment that was given none."""


def record_label(settings: Settings) -> str:
    """The label of the first decisions about an hour by this deployment, which it acts on and tells of."""
    return SHADOW if settings.mode is Mode.SHADOW else RECORD


def label_beside(label: str | None, record: str = RECORD) -> str:
    """The name that decisions beside the record get.

    Raises:
        InputError: it is reserved or empty.
    """
    if label is None:
        return LATEST if record == RECORD else SHADOW_LATEST
    beside = label.strip()
    if not beside or beside in {RECORD, SHADOW}:
        raise InputError(f"label {label!r} cannot be used: it is that of the first decisions; name the re-evaluation")
    return beside
