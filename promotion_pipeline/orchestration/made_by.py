"""What made a decision, read from the tags of the run: nobody but the schedule and an automation may lead to an act."""

from __future__ import annotations

from collections.abc import Mapping

from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.dagster_private import (
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    SCHEDULE_NAME_TAG,
)
from promotion_pipeline.orchestration.place import BARE, Placement

FROM_UI_TAG = "dagster/from_ui"
"""On every run that somebody launched in the UI, also on one from a schedule's tested tick."""


def made_by(tags: Mapping[str, str], place: Placement = BARE) -> MadeBy:
    """What made the decisions of a run with these tags."""
    if FROM_UI_TAG in tags or _is_started_again_by_hand(tags):
        return MadeBy.PERSON
    if AUTOMATION_CONDITION_TAG in tags:
        # Before the backfill: an automation may launch one.
        return MadeBy.AUTOMATION
    if tags.get(SCHEDULE_NAME_TAG) == place.named(names.SCHEDULE) and BACKFILL_ID_TAG not in tags:
        return MadeBy.SCHEDULE
    return MadeBy.PERSON


def _is_started_again_by_hand(tags: Mapping[str, str]) -> bool:
    """A run that is started again takes over its parent's tags; the retries of Dagster's daemon are numbered."""
    return PARENT_RUN_ID_TAG in tags and RETRY_NUMBER_TAG not in tags
