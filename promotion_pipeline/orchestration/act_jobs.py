"""The jobs that a person starts from the Launchpad to act on one experiment: a config and an act, nothing else."""

from collections.abc import Callable
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.act_events import told_in_run, who
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.run_config import ActingConfig, launchpad_schema, words
from promotion_pipeline.promotion.act import offered
from promotion_pipeline.promotion.act.offered import Asked, OfferedAct
from promotion_pipeline.promotion.judge.distrust import Despite
from promotion_pipeline.promotion.record.models import Promotion

ACT_TAGS = {"dagster/max_runtime": "1800"}
DESPITE = "'sample_ratio_mismatch': promote although the traffic was not split as declared; needs a reason."


class PromoteConfig(ActingConfig):
    """Which experiment, who says so, and what to keep with the record."""

    experiment: str = Field(description="Its name.")
    promoted_by: str = Field(default="", description="Who decides; empty: this run.")
    reason: str = Field(default="", description="Kept with the promotion.")
    reviewers: list[str] = Field(default=[], description="Kept with the promotion.")
    ticket: str = Field(default="", description="Kept with the promotion.")
    despite: list[str] = Field(default=[], description=DESPITE)


class ApproveConfig(ActingConfig):
    """Which experiment, who answers, and what."""

    experiment: str = Field(description="Its name.")
    approved_by: str = Field(default="", description="Who answers; empty: this run.")
    reason: str = Field(default="", description="Kept with the answer; needed to decline.")
    despite: list[str] = Field(default=[], description=DESPITE)
    decline: bool = Field(default=False, description="Say no, and put automatic promotion on hold.")


class RollbackConfig(dg.Config):
    """Which experiment, why, and where the traffic goes."""

    experiment: str = Field(description="Its name.")
    reason: str = Field(description="Why; kept in the history.")
    rolled_back_by: str = Field(default="", description="Who; empty: this run.")
    to: Literal["previous", "control", "close"] = Field(
        default="previous",
        description="previous: the split of before; control: all traffic to control; close: it stays as it stands.",
    )
    confirm_drift: bool = Field(default=False, description="Overwrite a split that somebody changed since.")


class HoldConfig(dg.Config):
    """Which experiment, and why."""

    experiment: str = Field(description="Its name.")
    reason: str = Field(description="Why; every door shows it.")
    held_by: str = Field(default="", description="Who; empty: this run.")


class ReleaseHoldConfig(dg.Config):
    """Which experiment, and why."""

    experiment: str = Field(description="Its name.")
    released_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(default="", description="Kept in the audit.")


class AdvanceConfig(dg.Config):
    """Which ramp, who says so, and which step."""

    experiment: str = Field(description="Its name.")
    advanced_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(default="", description="Kept in the audit.")
    to_percent: float = Field(default=0.0, description="The step that is meant; 0: the next one, whatever it is.")


class AcknowledgeConfig(dg.Config):
    """Which breach, who keeps the promotion, and why."""

    experiment: str = Field(description="Its name.")
    acknowledged_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(description="Why it is kept.")


class OverwriteSplitConfig(dg.Config):
    """Which split, who puts it back, and why."""

    experiment: str = Field(description="Its name.")
    overwritten_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(description="Why; kept in the audit.")


class AdoptSplitConfig(dg.Config):
    """Whose edit is taken over, who says so, and why."""

    experiment: str = Field(description="Its name.")
    adopted_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(default="", description="Kept in the audit.")


class RetryDeliveryConfig(dg.Config):
    """Which delivery is tried again, and who says so."""

    experiment: str = Field(description="Its name.")
    retried_by: str = Field(default="", description="Who; empty: this run.")
    reason: str = Field(default="", description="Kept in the audit.")


def _act_job(
    name: str,
    op: str,
    config: type[dg.Config],
    act: OfferedAct[Any] | Callable[[dict[str, Any]], OfferedAct[Any]],
    done: Callable[[Asked, Any], str],
    *,
    description: str,
    what: str,
) -> dg.JobDefinition:
    """A job of one step, which does the act with what the Launchpad was given.

    Args:
        act: the act, or what picks it by the config.
        done: what the run says when it is done.
        description: of the job.
        what: the description of its step.
    """

    @placed.op(name=op, description=what, config_schema=launchpad_schema(config, **_types(config)))
    def step(context: dg.OpExecutionContext, store: dg.ResourceParam[StoreResource]) -> None:
        given = config(**context.op_config)
        with at_work(context, store) as opened, told_in_run(context, opened, store.place):
            asked = _asked(context, given)
            wanted = act if isinstance(act, OfferedAct) else act(dict(given))
            answer = wanted.perform(asked, opened)
        context.log.info(done(asked, answer))

    return placed.one_step_job(step, name=name, description=description, tags=ACT_TAGS)


def _types(config: type[dg.Config]) -> dict[str, object]:
    return {"despite": dg.Array(words(Despite))} if "despite" in config.model_fields else {}


def _asked(context: dg.OpExecutionContext, config: dg.Config) -> Asked:
    """What the Launchpad was given; a text that is empty was not given."""
    given = dict(config)
    kept = {name: given[name] for name in ("reviewers", "ticket") if given.get(name)}
    known = {name: given[name] for name in ("to", "confirm_drift", "despite") if name in given}
    return Asked(
        experiment_name=given["experiment"],
        by=who(context, next(said for name, said in given.items() if name.endswith("_by"))),
        reason=given["reason"] or None,
        config=config.thresholds() if isinstance(config, ActingConfig) else None,
        metadata={**given.get("metadata", {}), **kept, "dagster_run_id": context.run_id},
        to_percent=given.get("to_percent") or None,
        **known,
    )


def _stands(_: Asked, promotion: Promotion) -> str:
    return f"{promotion.promoted_variant_name!r} is {promotion.state.value}, step {promotion.ramp_step}"


promote_job = _act_job(
    names.PROMOTE_JOB,
    "promote",
    PromoteConfig,
    offered.PROMOTE,
    lambda _, promotion: f"{promotion.promoted_variant_name!r} is promoted: {promotion.state.value}",
    description="Promote the winner of an experiment by hand.",
    what="Promote the winner of one experiment; the contract checks must pass now.",
)
approve_job = _act_job(
    names.APPROVE_JOB,
    "approve",
    ApproveConfig,
    lambda config: offered.DECLINE if config["decline"] else offered.APPROVE,
    lambda asked, answer: f"{asked.experiment_name!r} is {'approved' if isinstance(answer, Promotion) else 'declined'}",
    description="Approve or decline a promotion that waits for a person.",
    what="Answer the open request of one experiment; a yes promotes at once if the checks still pass.",
)
rollback_job = _act_job(
    names.ROLLBACK_JOB,
    "roll_back",
    RollbackConfig,
    offered.ROLL_BACK,
    lambda asked, _: f"{asked.experiment_name!r} is rolled back and on hold; lift it with {names.RELEASE_HOLD_JOB}",
    description="Undo a promotion; the experiment runs again, on hold.",
    what="Undo the live promotion of one experiment and put automatic promotion on hold.",
)
hold_job = _act_job(
    names.HOLD_JOB,
    "put_on_hold",
    HoldConfig,
    offered.HOLD,
    lambda asked, _: f"{asked.experiment_name!r} is on hold; lift it with {names.RELEASE_HOLD_JOB}",
    description="Keep an experiment from being promoted unattended.",
    what="Keep one experiment from being promoted unattended; it also pauses a ramp.",
)
release_hold_job = _act_job(
    names.RELEASE_HOLD_JOB,
    "lift_hold",
    ReleaseHoldConfig,
    offered.RELEASE,
    lambda asked, _: f"{asked.experiment_name!r} may be promoted unattended again",
    description="Lift the hold on automatic promotion.",
    what="Let one experiment be promoted unattended again.",
)
advance_job = _act_job(
    names.ADVANCE_JOB,
    "advance",
    AdvanceConfig,
    offered.ADVANCE,
    _stands,
    description="Take the next step of a ramp by hand.",
    what="Take the next step of one ramp, whatever the watch says.",
)
acknowledge_job = _act_job(
    names.ACKNOWLEDGE_JOB,
    "acknowledge",
    AcknowledgeConfig,
    offered.ACKNOWLEDGE,
    lambda asked, _: f"the breach of {asked.experiment_name!r} is acknowledged: the promotion stays",
    description="Keep a promotion in spite of a breach.",
    what="Keep a promotion although its winner got worse.",
)
overwrite_split_job = _act_job(
    names.OVERWRITE_SPLIT_JOB,
    "put_split_back",
    OverwriteSplitConfig,
    offered.OVERWRITE_SPLIT,
    lambda asked, _: f"the decided split of {asked.experiment_name!r} is put back",
    description="Put our split back after somebody else changed it: in what serves it, or after a promotion in our own"
    " table.",
    what="Put our split back after somebody else changed it.",
)
adopt_split_job = _act_job(
    names.ADOPT_SPLIT_JOB,
    "adopt_split",
    AdoptSplitConfig,
    offered.ADOPT_SPLIT,
    lambda asked, _: f"what is served for {asked.experiment_name!r} is the decided split now",
    description="Take the split that somebody else made the target serve as the decided one.",
    what="Take somebody else's split over; a new phase begins.",
)
retry_delivery_job = _act_job(
    names.RETRY_DELIVERY_JOB,
    "retry_delivery",
    RetryDeliveryConfig,
    offered.RETRY_DELIVERY,
    lambda asked, _: f"the decided split of {asked.experiment_name!r} is tried again",
    description="Try again to bring the decided split to what serves it.",
    what="Begin the attempts at the newest delivery anew.",
)

ACT_JOBS = [
    promote_job,
    approve_job,
    rollback_job,
    hold_job,
    release_hold_job,
    advance_job,
    acknowledge_job,
    overwrite_split_job,
    adopt_split_job,
    retry_delivery_job,
]
