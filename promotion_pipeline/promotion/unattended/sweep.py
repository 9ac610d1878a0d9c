"""The unattended path: what to do about every running experiment, one transaction each."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from functools import partial
from uuid import UUID

import psycopg

from promotion_pipeline.config import ACTING_FIELDS, Mode, PromotionConfig
from promotion_pipeline.decisions.deployments import note_deployment
from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.evaluation.unattended import WAITING, MadeBy, WithheldReason
from promotion_pipeline.promotion.act.approvals import expire_approvals, request_approval
from promotion_pipeline.promotion.act.promote import (
    LockedAssessment,
    PromotionOrder,
    assess_under_lock,
    insert_promotion,
    record_promotion,
)
from promotion_pipeline.promotion.act.recorded import record_decisions, write_decision_of_record
from promotion_pipeline.promotion.act.snapshot import snapshot_of
from promotion_pipeline.promotion.judge.assess import Assessment, judge
from promotion_pipeline.promotion.judge.distrust import acknowledgement
from promotion_pipeline.promotion.judge.wording import withheld_sentence
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.faults import FaultPoint, reached
from promotion_pipeline.promotion.record.inputs import ConfigLike, request_config, required_text
from promotion_pipeline.promotion.record.models import (
    AutoCheckResult,
    Outcome,
    Promotion,
    SweepEntry,
)
from promotion_pipeline.promotion.record.queries import live_promotion
from promotion_pipeline.promotion.record.states import PromotionState, PromotionType
from promotion_pipeline.promotion.record.transaction import (
    ActContext,
    in_transaction,
    lock_experiment,
    store_or_current,
)
from promotion_pipeline.rollups import Completeness, repaired
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.text.numbers import confidence_text, lift_text, share_text

log = logging.getLogger(__name__)


def auto_check_promotions(user_id: str, config: ConfigLike = None, *, store: Store | None = None) -> AutoCheckResult:
    """Check every running experiment; promote those that may be promoted unattended, ask about the others eligible.

    All are evaluated in one call, and the decisions kept as those of record of the newest complete hour; each
    promotion or request is a transaction of its own, decided again under the experiment's lock. What fails for one
    experiment is reported as `failed` and stops no other.

    Args:
        user_id: on whose behalf; kept in the history.
        config: thresholds that tighten the environment's and the experiments' own; a looser one is overruled by the
            experiment's, and the entry says so.
        store: the database; default that of the environment.

    Raises:
        ConfigError, InputError: a value cannot be used.
        DependencyError: the database is down.

    >>> results = auto_check_promotions("admin-user-123")
    >>> print(f"Checked: {results.checked}")
    Checked: 1
    >>> print(f"Promoted: {results.promoted}")
    Promoted: 0
    """
    actor, request = required_text(user_id, "user_id"), request_config(config)
    where = store_or_current(store)
    second = note_deployment(where)
    if second is not None:
        log.warning(second)
    note_unnoted(where)
    if where.settings.mode is Mode.LIVE:
        expire_approvals(where)
    judged = judge(where, None, request, made_by=MadeBy.SWEEP)
    is_overridden = request is not None and bool(request.model_fields_set - ACTING_FIELDS)
    recorded = 0 if is_overridden else record_decisions(where, judged)
    entries = tuple(_entry_of(where, assessment, actor, request) for assessment in judged.assessments)
    outcomes = Counter(entry.outcome for entry in entries)
    return AutoCheckResult(
        checked=len(entries),
        promoted=outcomes[Outcome.PROMOTED],
        awaiting_approval=outcomes[Outcome.AWAITING_APPROVAL],
        failed=outcomes[Outcome.FAILED],
        held=outcomes[Outcome.HELD],
        shadow=outcomes[Outcome.SHADOW],
        recorded=recorded,
        as_of=judged.as_of,
        results=entries,
    )


def _entry_of(store: Store, assessment: Assessment, actor: str, request: PromotionConfig | None) -> SweepEntry:
    """One experiment's part; what changes nothing needs no lock."""
    without_act = _without_act(assessment)
    if without_act is not None:
        return without_act
    try:
        return settle(store, assessment.experiment.id, actor, request, MadeBy.SWEEP)
    except DependencyError as error:
        if load_source(store.settings) is None:
            raise
        # With the log elsewhere, it alone may be down: then this experiment failed. If it is the database, the query
        # here raises, and the whole sweep ends.
        with store.connect() as connection:
            connection.execute("SELECT 1")
        return _entry(assessment, Outcome.FAILED, " ".join(str(error).split()))
    except (PromotionError, psycopg.Error) as error:
        return _entry(assessment, Outcome.FAILED, " ".join(str(error).split()))


def settle(
    store: Store,
    experiment_id: UUID,
    actor: str,
    request: PromotionConfig | None = None,
    made_by: MadeBy | None = None,
) -> SweepEntry:
    """Do the unattended thing about one experiment: promote it, ask a person, or leave it; one transaction.

    Idempotent: called again it finds the promotion, or the open request, and does nothing more.

    Args:
        made_by: what the act stands on; None: the hour's decision of record, so that one which a person's run made
            leads to nothing.

    Raises:
        NotFoundError: there is no such experiment.
        ConfigError: its `promotion_config` is not valid.
        ConflictError: another act holds it.
        DependencyError: the database is down.
    """
    partly: list[Completeness] = []
    work = partial(_settle, store, experiment_id, actor, request, made_by, partly)
    entry = in_transaction(store, work)
    if entry.outcome is Outcome.WITHHELD and partly and repaired(store, partly[-1]):
        entry = in_transaction(store, work)
    return entry


def _settle(
    store: Store,
    experiment_id: UUID,
    actor: str,
    request: PromotionConfig | None,
    made_by: MadeBy | None,
    partly: list[Completeness],
    connection: Connection,
) -> SweepEntry:
    """`partly` gets what the data was found to lack."""
    context = lock_experiment(connection, store, experiment_id)
    reached(FaultPoint.LOCKED)
    live = live_promotion(connection, experiment_id)
    if live is not None:
        return _already(context, live)
    if not context.experiment.is_active:
        message = f"{context.experiment.name!r} is not running any more"
        return SweepEntry(experiment_name=context.experiment.name, outcome=Outcome.NOTHING_TO_DO, message=message)
    locked = assess_under_lock(context, request, made_by)
    without_act = _without_act(locked.assessment)
    if without_act is not None:
        return without_act
    withheld = locked.assessment.withheld
    if WAITING.intersection(withheld):
        if WithheldReason.INCOMPLETE_DATA in withheld and locked.assessment.completeness is not None:
            partly.append(locked.assessment.completeness)
        return _entry(locked.assessment, Outcome.WITHHELD, _because(locked.assessment, withheld))
    if store.settings.mode is Mode.SHADOW:
        return _record_shadow(context, locked, actor, withheld)
    if withheld:
        return _ask(context, locked, actor, withheld)
    order = replace(_order(locked, actor), metadata=acknowledgement(locked.assessment, None, None))
    promotion = record_promotion(context, locked, order)
    share = promotion.ramp_percents[promotion.ramp_step]
    step = "" if share == 100 else f" to {share_text(share)} of the traffic, its first step"
    message = (
        f"promoted {promotion.promoted_variant_name!r}{step}: {lift_text(promotion.improvement)} at"
        f" {confidence_text(promotion.confidence)} confidence"
    )
    return _entry(locked.assessment, Outcome.PROMOTED, message, promotion_id=promotion.id)


def _without_act(assessment: Assessment) -> SweepEntry | None:
    """The entry of an experiment about which nothing is to be done."""
    eligibility = assessment.eligibility
    if eligibility.verdict is Verdict.ERROR:
        return _entry(assessment, Outcome.FAILED, "; ".join(eligibility.reasons))
    if not eligibility.is_eligible:
        return _entry(assessment, Outcome.NOT_ELIGIBLE, "; ".join(eligibility.reasons))
    if WithheldReason.DISABLED in eligibility.evidence.withheld:
        return _entry(assessment, Outcome.DISABLED, "automatic promotion is off (AUTO_PROMOTION_ENABLED=false)")
    if eligibility.hold is not None:
        return _entry(assessment, Outcome.HELD, f"on hold: {eligibility.hold}")
    return None


def _ask(context: ActContext, locked: LockedAssessment, actor: str, withheld: tuple[WithheldReason, ...]) -> SweepEntry:
    approval, is_new = request_approval(context, locked, actor)
    said = _because(locked.assessment, withheld)
    message = f"{'a person is asked' if is_new else 'waits for approval'}: {said}"
    return _entry(locked.assessment, Outcome.AWAITING_APPROVAL, message, approval_id=approval.id)


def _because(assessment: Assessment, withheld: tuple[WithheldReason, ...]) -> str:
    return "; ".join(withheld_sentence(assessment, reason) for reason in withheld)


def _record_shadow(
    context: ActContext, locked: LockedAssessment, actor: str, withheld: tuple[WithheldReason, ...]
) -> SweepEntry:
    """Keep what would have been done, once a phase and variant; no traffic, no phase, no notification."""
    eligibility = locked.assessment.eligibility
    if withheld:
        return _entry(
            locked.assessment, Outcome.SHADOW, f"shadow: would have asked a person about {eligibility.winner!r}"
        )
    order = _order(locked, actor)
    snapshot = snapshot_of(context, locked.assessment, locked.rollups, locked.config)
    snapshot |= locked.brought
    promotion = insert_promotion(context, locked, order, snapshot, PromotionState.SHADOW)
    message = f"shadow: would have promoted {eligibility.winner!r}"
    if promotion is None:
        return _entry(locked.assessment, Outcome.SHADOW, f"{message} (recorded before)")
    if not locked.assessment.is_overridden:
        write_decision_of_record(context.connection, locked.assessment, context.store.settings, order.made_by)
    details = {"winner": promotion.promoted_variant_name, **locked.brought}
    context.audit(actor, Action.SHADOW_PROMOTE, promotion.id, details)
    return _entry(locked.assessment, Outcome.SHADOW, message, promotion_id=promotion.id)


def _order(locked: LockedAssessment, actor: str) -> PromotionOrder:
    return PromotionOrder(PromotionType.AUTO, actor, {}, made_by=locked.assessment.made_by)


def _already(context: ActContext, live: Promotion) -> SweepEntry:
    message = f"{live.promoted_variant_name!r} was promoted by {live.promoted_by} meanwhile"
    return SweepEntry(
        experiment_name=context.experiment.name,
        outcome=Outcome.ALREADY_PROMOTED,
        message=message,
        promotion_id=live.id,
    )


def _entry(
    assessment: Assessment,
    outcome: Outcome,
    message: str,
    *,
    promotion_id: UUID | None = None,
    approval_id: UUID | None = None,
) -> SweepEntry:
    overruled = assessment.eligibility.overruled
    return SweepEntry(
        experiment_name=assessment.experiment.name,
        outcome=outcome,
        message="; ".join([message, *(over.message for over in overruled)]),
        eligibility=assessment.eligibility,
        promotion_id=promotion_id,
        approval_id=approval_id,
        overruled=overruled,
    )
