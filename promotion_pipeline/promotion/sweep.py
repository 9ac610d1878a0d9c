"""The unattended path: what to do about every running experiment, one transaction each."""

from __future__ import annotations

from collections import Counter
from functools import partial
from uuid import UUID

import psycopg

from promotion_pipeline.config import Mode, PromotionConfig
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.evaluation.unattended import WAITING, WithheldReason
from promotion_pipeline.promotion.acts import Scene, chosen, in_transaction, lock_experiment
from promotion_pipeline.promotion.approvals import expire_approvals, request_approval
from promotion_pipeline.promotion.assess import Assessment, judge
from promotion_pipeline.promotion.events import Action
from promotion_pipeline.promotion.faults import FaultPoint, reached
from promotion_pipeline.promotion.inputs import ConfigLike, request_config, required_text
from promotion_pipeline.promotion.models import (
    AutoCheckResult,
    Outcome,
    Promotion,
    PromotionEligibility,
    SweepEntry,
)
from promotion_pipeline.promotion.promote import (
    Candidate,
    Signature,
    assess_under_lock,
    insert_promotion,
    record_promotion,
    write_decision_of_record,
)
from promotion_pipeline.promotion.records import live_promotion
from promotion_pipeline.promotion.snapshot import snapshot_of
from promotion_pipeline.promotion.states import ApprovalState, PromotionState, PromotionType
from promotion_pipeline.promotion.wording import withheld_because, withheld_sentence
from promotion_pipeline.rollups import Completeness, repaired
from promotion_pipeline.store.database import Connection, Store


def auto_check_promotions(user_id: str, config: ConfigLike = None, *, store: Store | None = None) -> AutoCheckResult:
    """Check every running experiment; promote those that may be promoted unattended, ask about the others eligible.

    All are evaluated in one call; each promotion or request is a transaction of its own, decided again under
    the experiment's lock. What fails for one experiment is reported as `failed` and stops no other.

    Args:
        user_id: on whose behalf; kept in the history.
        config: thresholds that override the environment's and the experiments' own.
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
    where = chosen(store)
    expire_approvals(where)
    judged = judge(where, None, request)
    entries = tuple(_entry(where, assessment, actor, request) for assessment in judged.assessments)
    outcomes = Counter(entry.outcome for entry in entries)
    return AutoCheckResult(
        checked=len(entries),
        promoted=outcomes[Outcome.PROMOTED],
        awaiting_approval=outcomes[Outcome.AWAITING_APPROVAL],
        failed=outcomes[Outcome.FAILED],
        held=outcomes[Outcome.HELD],
        shadow=outcomes[Outcome.SHADOW],
        as_of=judged.as_of,
        results=entries,
    )


def _entry(store: Store, assessment: Assessment, actor: str, request: PromotionConfig | None) -> SweepEntry:
    """One experiment's part; what changes nothing needs no lock."""
    without_act = _without_act(assessment.eligibility)
    if without_act is not None:
        return without_act
    try:
        return settle(store, assessment.experiment.id, actor, request)
    except DependencyError:
        raise
    except (PromotionError, psycopg.Error) as error:
        return _said(assessment.eligibility, Outcome.FAILED, " ".join(str(error).split()))


def settle(store: Store, experiment_id: UUID, actor: str, request: PromotionConfig | None = None) -> SweepEntry:
    """Do the unattended thing about one experiment: promote it, ask a person, or leave it; one transaction.

    Idempotent: called again it finds the promotion, or the open request, and does nothing more.

    Raises:
        NotFoundError: there is no such experiment.
        ConfigError: its `promotion_config` is not valid.
        ConflictError: another act holds it.
        DependencyError: the database is down.
    """
    partly: list[Completeness] = []
    work = partial(_settle, store, experiment_id, actor, request, partly)
    entry = in_transaction(store, work)
    if entry.outcome is Outcome.WITHHELD and partly and repaired(store, partly[-1]):
        entry = in_transaction(store, work)
    return entry


def _settle(
    store: Store,
    experiment_id: UUID,
    actor: str,
    request: PromotionConfig | None,
    partly: list[Completeness],
    connection: Connection,
) -> SweepEntry:
    """`partly` gets what the data was found to lack."""
    scene = lock_experiment(connection, store, experiment_id)
    reached(FaultPoint.LOCKED)
    live = live_promotion(connection, experiment_id)
    if live is not None:
        return _already(scene, live)
    if not scene.experiment.is_active:
        message = f"{scene.experiment.name!r} is not running any more"
        return SweepEntry(experiment_name=scene.experiment.name, outcome=Outcome.NOTHING_TO_DO, message=message)
    candidate = assess_under_lock(scene, request)
    eligibility = candidate.assessment.eligibility
    without_act = _without_act(eligibility)
    if without_act is not None:
        return without_act
    withheld = withheld_because(candidate.assessment)
    if WAITING.intersection(withheld):
        if WithheldReason.INCOMPLETE_DATA in withheld and candidate.assessment.completeness is not None:
            partly.append(candidate.assessment.completeness)
        return _said(eligibility, Outcome.WITHHELD, _because(candidate.assessment, withheld))
    if store.settings.mode is Mode.SHADOW:
        return _record_shadow(scene, candidate, actor, withheld)
    if withheld:
        return _ask(scene, candidate, actor, withheld)
    promotion = record_promotion(scene, candidate, Signature(PromotionType.AUTO, actor, {}))
    message = (
        f"promoted {promotion.promoted_variant_name!r}: {promotion.improvement:+.2f} % at"
        f" {promotion.confidence:.2f} % confidence"
    )
    return _said(eligibility, Outcome.PROMOTED, message, promotion_id=promotion.id)


def _without_act(eligibility: PromotionEligibility) -> SweepEntry | None:
    """The entry of an experiment about which nothing is to be done."""
    if eligibility.verdict is Verdict.ERROR:
        return _said(eligibility, Outcome.FAILED, "; ".join(eligibility.reasons))
    if not eligibility.is_eligible:
        return _said(eligibility, Outcome.NOT_ELIGIBLE, "; ".join(eligibility.reasons))
    if WithheldReason.DISABLED in eligibility.evidence.withheld:
        return _said(eligibility, Outcome.DISABLED, "automatic promotion is off (AUTO_PROMOTION_ENABLED=false)")
    if eligibility.hold is not None:
        return _said(eligibility, Outcome.HELD, f"on hold: {eligibility.hold}")
    return None


def _ask(scene: Scene, candidate: Candidate, actor: str, withheld: tuple[WithheldReason, ...]) -> SweepEntry:
    approval, is_new = request_approval(scene, candidate, actor)
    said = _because(candidate.assessment, withheld)
    if approval.state is ApprovalState.APPROVED:
        message = f"approved by {approval.answered_by}; the next run applies it"
    else:
        message = f"{'a person is asked' if is_new else 'waits for approval'}: {said}"
    return _said(candidate.assessment.eligibility, Outcome.AWAITING_APPROVAL, message, approval_id=approval.id)


def _because(assessment: Assessment, withheld: tuple[WithheldReason, ...]) -> str:
    return "; ".join(withheld_sentence(assessment, reason) for reason in withheld)


def _record_shadow(scene: Scene, candidate: Candidate, actor: str, withheld: tuple[WithheldReason, ...]) -> SweepEntry:
    """Keep what would have been done, once a phase and variant; no traffic, no phase, no notification."""
    eligibility = candidate.assessment.eligibility
    if withheld:
        return _said(eligibility, Outcome.SHADOW, f"shadow: would have asked a person about {eligibility.winner!r}")
    signature = Signature(PromotionType.AUTO, actor, {})
    snapshot = snapshot_of(scene, candidate.assessment, candidate.rollups, candidate.config.ramp_steps)
    promotion = insert_promotion(scene, candidate, signature, snapshot, PromotionState.SHADOW)
    message = f"shadow: would have promoted {eligibility.winner!r}"
    if promotion is None:
        return _said(eligibility, Outcome.SHADOW, f"{message} (recorded before)")
    if not candidate.is_overridden:
        write_decision_of_record(scene.connection, candidate.assessment, scene.store.settings)
    scene.audit(actor, Action.SHADOW_PROMOTE, promotion.id, {"winner": promotion.promoted_variant_name})
    return _said(eligibility, Outcome.SHADOW, message, promotion_id=promotion.id)


def _already(scene: Scene, live: Promotion) -> SweepEntry:
    message = f"{live.promoted_variant_name!r} was promoted by {live.promoted_by} meanwhile"
    return SweepEntry(
        experiment_name=scene.experiment.name,
        outcome=Outcome.ALREADY_PROMOTED,
        message=message,
        promotion_id=live.id,
    )


def _said(
    eligibility: PromotionEligibility,
    outcome: Outcome,
    message: str,
    *,
    promotion_id: UUID | None = None,
    approval_id: UUID | None = None,
) -> SweepEntry:
    return SweepEntry(
        experiment_name=eligibility.experiment_name,
        outcome=outcome,
        message=message,
        eligibility=eligibility,
        promotion_id=promotion_id,
        approval_id=approval_id,
    )
