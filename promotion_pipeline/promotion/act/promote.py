"""Promotion: one transaction from the lock to the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from promotion_pipeline.config import Mode, PromotionConfig
from promotion_pipeline.errors import AlreadyPromotedError, ConflictError, HeldError, NotEligibleError, WithheldError
from promotion_pipeline.evaluation import Warn
from promotion_pipeline.evaluation.unattended import MadeBy, WithheldReason
from promotion_pipeline.promotion.act.adopted import recorded_actor, require_storable
from promotion_pipeline.promotion.act.payload import PromotionPayload
from promotion_pipeline.promotion.act.recorded import write_decision_of_record
from promotion_pipeline.promotion.act.snapshot import snapshot_of
from promotion_pipeline.promotion.judge.assess import Assessment, judge_experiments
from promotion_pipeline.promotion.judge.distrust import Despite, acknowledgement, despite_of
from promotion_pipeline.promotion.judge.wording import withheld_sentence
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.experiments import thresholds_of
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import (
    ConfigLike,
    experiment_name_of,
    json_object,
    member_of,
    request_config,
    required_text,
)
from promotion_pipeline.promotion.record.models import Approval, Promotion
from promotion_pipeline.promotion.record.queries import (
    live_promotion,
    open_approval,
    promotion_from,
    reread,
    set_approval,
)
from promotion_pipeline.promotion.record.splits import from_text, split_of_step
from promotion_pipeline.promotion.record.states import ApprovalState, PromotionState, PromotionType
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    in_transaction,
    lock_experiment,
    store_or_current,
)
from promotion_pipeline.rollups import LiveSums, repaired
from promotion_pipeline.store.database import Connection, Store

STANDING_CAVEATS = frozenset({Warn.REQUEST_LEVEL.value})
"""Warnings that say how the data is logged, not that something is wrong: they alone page nobody."""


@dataclass(frozen=True)
class PromotionOrder:
    """Who promotes, and how."""

    kind: PromotionType
    by: str
    metadata: Mapping[str, Any]
    approval: Approval | None = None
    """The request that this promotion answers."""
    made_by: MadeBy = MadeBy.PERSON
    """What made the decision that is acted upon."""


@dataclass(frozen=True)
class LockedAssessment:
    """An assessment made under the lock, with the rollups behind it."""

    assessment: Assessment
    config: PromotionConfig
    rollups: LiveSums

    @property
    def brought(self) -> dict[str, Any]:
        """What a record says of the thresholds that the request brought; empty: it brought none."""
        request = self.assessment.request
        if request is None or not request.model_fields_set:
            return {}
        asked = request.model_dump(mode="json", include=request.model_fields_set)
        overruled = {over.threshold: self.config.to_json()[over.threshold] for over in self.assessment.overruled}
        return {"requested_thresholds": asked} | ({"overruled_by": overruled} if overruled else {})


def promote_winner(
    experiment_name: str,
    promotion_type: PromotionType | str,
    promoted_by: str,
    config: ConfigLike = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    despite: Sequence[Despite | str] | None = None,
    store: Store | None = None,
) -> Promotion:
    """Move the traffic of an experiment to its winner, stop the experiment and record why.

    Everything is decided again under the experiment's lock, at the newest complete hour: nothing that was seen
    before counts. All traffic goes to the winner, or the first of `ramp_steps`, or all but the holdback; the
    experiment is stopped (`is_active` false) either way, the split governs from then on.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        promotion_type: `manual` (a person decides: the contract checks) or `auto` (unattended: also the
            evidence, fresh data, no hold, no approval asked for, AUTO_PROMOTION_ENABLED).
        promoted_by: who promotes; kept in the history.
        config: thresholds that override the environment's and the experiment's own; `auto`: that only tighten them.
        metadata: what else to keep with the record: reason, reviewers, ticket.
        despite: what the person promotes in spite of, such as `["sample_ratio_mismatch"]`, with a `reason` in
            `metadata`; empty refuses numbers that cannot be trusted. None: nobody is asked, and the record says so.
        store: the database; default that of the environment.

    Raises:
        NotFoundError: no experiment has this name.
        AlreadyPromotedError: a live promotion exists; of calls at once exactly one promotes.
        ConflictError: the experiment is not running, or the mode is shadow.
        NotEligibleError: the contract does not pass.
        UntrustedError: the numbers cannot be trusted, and `despite` does not name why.
        WithheldError: `auto`, and eligible but short of what an unattended promotion needs.
        HeldError: `auto`, and automatic promotion is on hold.
        ConfigError, InputError: a value cannot be used.
        DependencyError: the database is down.

    >>> promotion = promote_winner("reality-lens-v2", "manual", "user-123", metadata={"ticket": "PROJ-123"})
    >>> print(f"Promoted: {promotion.promoted_variant_name}")
    Promoted: variant-a
    """
    kind = member_of(PromotionType, promotion_type, "promotion_type")
    made_by = MadeBy.SWEEP if kind is PromotionType.AUTO else MadeBy.PERSON
    known, acknowledged = json_object(metadata, "metadata"), despite_of(despite)
    order = PromotionOrder(kind, required_text(promoted_by, "promoted_by"), known, made_by=made_by)
    promotion = _promote(
        store_or_current(store), experiment_name_of(experiment_name), order, request_config(config), acknowledged
    )
    reached(FaultPoint.AFTER_COMMIT)
    return promotion


def _promote(
    store: Store,
    name: str,
    order: PromotionOrder,
    request: PromotionConfig | None,
    acknowledged: frozenset[Despite] | None,
) -> Promotion:
    """Promote in one transaction; a second one where the first found data to catch up with."""
    seen: list[Assessment] = []

    def act(connection: Connection) -> Promotion:
        context = lock_experiment(connection, store, name)
        locked = require_eligible(context, request, order.made_by)
        seen.append(locked.assessment)
        if order.kind is PromotionType.AUTO:
            require_unattended(locked.assessment)
        known = dict(order.metadata)
        marks = acknowledgement(locked.assessment, acknowledged, known.get("reason"))
        return record_promotion(context, locked, replace(order, metadata=known | marks))

    try:
        return in_transaction(store, act)
    except WithheldError:
        if not repaired(store, seen[-1].completeness):
            raise
        return in_transaction(store, act)


def require_eligible(
    context: ActContext, request: PromotionConfig | None, made_by: MadeBy = MadeBy.PERSON
) -> LockedAssessment:
    """Re-check under the lock that this experiment may be promoted by the contract.

    Raises:
        AlreadyPromotedError, ConflictError, NotEligibleError, ConfigError: it may not, and why.
    """
    reached(FaultPoint.LOCKED)
    name = context.experiment.name
    require_not_promoted(context)
    if not context.experiment.is_active:
        raise ConflictError(
            f"{name!r} is not running: set is_active to start it; only a running experiment is promoted"
        )
    require_live_mode(context.store)
    locked = assess_under_lock(context, request, made_by)
    eligibility = locked.assessment.eligibility
    if not eligibility.is_eligible:
        said = "; ".join(eligibility.reasons)
        sentence = f"{name!r} is {eligibility.verdict.value} at {eligibility.as_of.isoformat()}: {said}"
        raise NotEligibleError(sentence, eligibility.to_json())
    return locked


def require_not_promoted(context: ActContext) -> None:
    """Refuse where a promotion governs the traffic already.

    Raises:
        AlreadyPromotedError: a live promotion exists.
    """
    live = live_promotion(context.connection, context.experiment.id)
    if live is not None:
        raise AlreadyPromotedError(
            f"{context.experiment.name!r} is already promoted: {live.promoted_variant_name!r} at"
            f" {live.promoted_at.isoformat(timespec='seconds')} by {live.promoted_by} (promotion {live.id})"
        )


def require_live_mode(store: Store) -> None:
    """Refuse in shadow mode, where no traffic may change.

    Raises:
        ConflictError: the mode is shadow.
    """
    if store.settings.mode is Mode.SHADOW:
        raise ConflictError("AUTO_PROMOTION_MODE is shadow: no traffic changes; set it to live to promote")


def assess_under_lock(
    context: ActContext, request: PromotionConfig | None, made_by: MadeBy | None = None
) -> LockedAssessment:
    """Evaluate the locked experiment at the newest complete hour.

    Args:
        made_by: who acts on what is found; None: whoever made the hour's record.

    Raises:
        ConfigError: the experiment's `promotion_config` is not valid.
    """
    thresholds_of(context.store.settings, context.experiment)
    judged = judge_experiments(
        context.store,
        context.connection,
        [context.experiment],
        request,
        None,
        source=context.connection,
        made_by=made_by,
        compare=True,
    )
    (assessment,) = judged.assessments
    assert assessment.config is not None
    return LockedAssessment(assessment, assessment.config, judged.rollups)


def require_unattended(assessment: Assessment) -> None:
    """Refuse what is eligible, but may not be promoted without a person.

    Raises:
        HeldError: automatic promotion is on hold.
        WithheldError: short of what an unattended promotion needs.
    """
    withheld = assessment.withheld
    if not withheld:
        return
    name = assessment.experiment.name
    said = "; ".join(withheld_sentence(assessment, reason) for reason in withheld)
    if WithheldReason.HELD in withheld:
        raise HeldError(f"{name!r}: {said}; a person may promote it, or release the hold")
    sentence = f"{name!r} is eligible, but not promoted unattended: {said}; a person may promote it"
    raise WithheldError(sentence, assessment.eligibility.to_json())


def record_promotion(context: ActContext, locked: LockedAssessment, order: PromotionOrder) -> Promotion:
    """Write record, traffic, phase, decision, approval, audit and notifications; the caller holds the lock."""
    held = on_hold(context)
    order = replace(order, metadata={**order.metadata, **held})
    snapshot = snapshot_of(context, locked.assessment, locked.rollups, locked.config)
    snapshot |= locked.brought | {"distrust": locked.assessment.eligibility.distrust}
    require_storable(
        context.connection, [share for step in snapshot["ramp"] for share in from_text(step["split"]).values()]
    )
    state = PromotionState.RAMPING if len(snapshot["ramp"]) > 1 else PromotionState.PROMOTED
    promotion = insert_promotion(context, locked, order, snapshot, state)
    assert promotion is not None
    reached(FaultPoint.RECORD_WRITTEN)
    delivery = context.set_traffic(split_of_step(snapshot, 0), is_active=False, promotion_id=promotion.id)
    reached(FaultPoint.TRAFFIC_SET)
    if not locked.assessment.is_overridden:
        write_decision_of_record(context.connection, locked.assessment, context.store.settings, order.made_by)
    _settle_approval(context, order, promotion)
    details = {
        "type": order.kind.value,
        "winner": promotion.promoted_variant_name,
        "state": state.value,
        "metadata": dict(order.metadata),
        **locked.brought,
        **held,
    }
    context.audit(order.by, Action.PROMOTE, promotion.id, details)
    alarming = set(locked.assessment.eligibility.warning_codes) - STANDING_CAVEATS
    context.notify_when_served(
        delivery,
        Event.PROMOTION_WITH_WARNINGS if alarming else Event.PROMOTION,
        "warning" if alarming else "info",
        promotion.id,
        f"promotion:{promotion.id}",
        PromotionPayload.of(promotion),
    )
    reached(FaultPoint.BEFORE_COMMIT)
    return reread(context.connection, promotion)


def on_hold(context: ActContext) -> dict[str, Any]:
    """What a record says of the hold that a person promoted in spite of; empty: there is none."""
    return {} if context.experiment.hold is None else {"on_hold": context.experiment.hold}


def insert_promotion(
    context: ActContext,
    locked: LockedAssessment,
    order: PromotionOrder,
    snapshot: dict[str, Any],
    state: PromotionState,
) -> Promotion | None:
    """Write the record; None where the same shadow promotion is recorded already."""
    decision = locked.assessment.decision
    assert decision is not None
    values = {
        "id": uuid4(),
        "experiment_id": context.experiment.id,
        "experiment_name": context.experiment.name,
        "promoted_variant_id": decision["candidate_variant_id"],
        "promoted_variant_name": decision["candidate_variant_name"],
        "control_variant_id": decision["control_variant_id"],
        "control_variant_name": decision["control_variant_name"],
        "confidence": decision["confidence"],
        "improvement": decision["improvement"],
        "sample_size": decision["sample_size"],
        "promotion_type": order.kind.value,
        **recorded_actor(context.connection, order.by),
        "promoted_at": context.at,
        "step_started_at": context.at,
        "metadata": Jsonb(dict(order.metadata)),
        "state": state.value,
        "evidence": locked.config.evidence.value if decision["is_promotable"] else "contract",
        "p_value": decision["p_value"],
        "z": decision["z"],
        "evaluated_as_of": locked.assessment.as_of,
        "config": Jsonb(locked.config.to_json()),
        "snapshot": Jsonb(snapshot),
        "phase_id": locked.assessment.phase_id,
    }
    row = context.connection.execute(
        sql.SQL("INSERT INTO experiment_promotions ({}) VALUES ({}) {} RETURNING *").format(
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
            sql.SQL("ON CONFLICT DO NOTHING" if state is PromotionState.SHADOW else ""),
        ),
        values,
    ).fetchone()
    return None if row is None else promotion_from(row)


def _settle_approval(context: ActContext, order: PromotionOrder, promotion: Promotion) -> None:
    """Link the approval that this promotion answers; an open request that it does not answer is over."""
    waiting = open_approval(context.connection, context.experiment.id)
    if waiting is None:
        return
    approval_id: UUID = waiting.id
    if order.approval is not None and order.approval.id == approval_id:
        set_approval(
            context.connection, approval_id, ApprovalState.APPROVED, order.by, order.approval.reason, promotion.id
        )
        return
    reason = f"promoted ({order.kind.value}) by {order.by}"
    set_approval(context.connection, approval_id, ApprovalState.SUPERSEDED, order.by, reason)
