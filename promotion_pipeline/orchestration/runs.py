"""Of a run: whether it is ours, what people call it, and whether a person's mistake ended it."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from promotion_pipeline.errors import ConfigError, ConflictError, InputError, NotEligibleError, NotFoundError
from promotion_pipeline.orchestration.dagster_private import BACKFILL_ID_TAG
from promotion_pipeline.orchestration.place import ASSET_NAMES, BARE, JOB_NAMES, Placement

IMPLICIT_JOB = "__ASSET_JOB"
"""Dagster's own name for what a backfill or the Materialize button starts."""
UNATTENDED_TAGS = (
    "dagster/schedule_name",
    "dagster/sensor_name",
    "dagster/auto_materialize",
    "dagster/from_automation_condition",
)
"""One of them is on every run that no person started."""


def _codes(error: type[Exception]) -> set[str]:
    return {error.code, *(code for kind in error.__subclasses__() for code in _codes(kind))}  # type: ignore[attr-defined]


MISTAKES = frozenset().union(*map(_codes, (ConfigError, InputError, NotFoundError, NotEligibleError, ConflictError)))
"""What is refused because of what was asked, not because something is broken."""


def is_ours(run: dg.DagsterRun, place: Placement = BARE) -> bool:
    """Whether a run is of our jobs or assets: a code location may hold those of a team too."""
    if run.job_name.startswith(IMPLICIT_JOB):
        ours = {place.key(name).to_user_string() for name in ASSET_NAMES}
        return bool(_assets(run)) and ours.issuperset(_assets(run))
    return run.job_name in {place.named(name) for name in JOB_NAMES}


def as_people_know_it(run: dg.DagsterRun) -> str:
    """The job's name; of a run that has no job of its own, what it fills."""
    if not run.job_name.startswith(IMPLICIT_JOB):
        return run.job_name
    kind = "backfill" if BACKFILL_ID_TAG in run.tags else "materialization"
    return f"{kind} of {', '.join(_assets(run)) or 'assets'}"


def mistake_of_a_person(run: dg.DagsterRun, step_failures: Sequence[dg.DagsterEvent]) -> str | None:
    """The code of the refusal that ended a run which a person started; None: it failed for another reason."""
    if not step_failures or any(tag in run.tags for tag in UNATTENDED_TAGS):
        return None
    codes = {_code(event) for event in step_failures}
    return ", ".join(sorted(code for code in codes if code)) if codes <= MISTAKES else None


def _code(event: dg.DagsterEvent) -> str | None:
    failure = event.step_failure_data.user_failure_data
    code = None if failure is None else failure.metadata.get("code")
    return None if code is None else str(code.value)


def _assets(run: dg.DagsterRun) -> list[str]:
    checked = {key.asset_key for key in run.asset_check_selection or ()}
    return sorted(key.to_user_string() for key in (run.asset_selection or frozenset()) | checked)
