"""The unattended path: what to do about every running experiment, one transaction each."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from functools import partial
from uuid import UUID

import psycopg
from pydantic.alias_generators import to_camel

from promotion_pipeline.config import ACTING_FIELDS, Mode, PromotionConfig
from promotion_pipeline.config.precedence import Overruled
from promotion_pipeline.decisions.deployments import note_deployment
from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.evaluation.unattended import WAITING, MadeBy, WithheldReason
from promotion_pipeline.promotion.acts import Scene, chosen, in_transaction, lock_experiment
from promotion_pipeline.promotion.approvals import expire_approvals, request_approval
from promotion_pipeline.promotion.assess import Assessment, judge
from promotion_pipeline.promotion.distrust import acknowledgement
from promotion_pipeline.promotion.events import Action
from promotion_pipeline.promotion.faults import FaultPoint, reached
from promotion_pipeline.promotion.inputs import ConfigLike, request_config, required_text
from promotion_pipeline.promotion.models import (
    AutoCheckResult,
    Outcome,
    OverruledThreshold,
    Promotion,
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
from promotion_pipeline.promotion.recorded import record_decisions
from promotion_pipeline.promotion.records import live_promotion
from promotion_pipeline.promotion.snapshot import json_ready, snapshot_of
from promotion_pipeline.promotion.states import ApprovalState, PromotionState, PromotionType
from promotion_pipeline.promotion.wording import withheld_because, withheld_sentence
from promotion_pipeline.rollups import Completeness, repaired
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.store.database import Connection, Store

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
    where = chosen(store)
    second = note_deployment(where)
    if second is not None:
        log.warning(second)
    note_unnoted(where)
    if where.settings.mode is Mode.LIVE:
        expire_approvals(where)
    judged = judge(where, None, request, made_by=MadeBy.SWEEP)
    is_overridden = request is not None and bool(request.model_fields_set - ACTING_FIELDS)
    recorded = 0 if is_overridden else record_decisions(where, judged)
    entries = tuple(_entry(where, assessment, actor, request) for assessment in judged.assessments)
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


def _entry(store: Store, assessment: Assessment, actor: str, request: PromotionConfig | None) -> SweepEntry:
    """One experiment's part; what changes nothing needs no lock."""
    without_act = _without_act(assessment)
    if without_act is not None:
        return without_act
    try:
        return settle(store, assessment.experiment.id, actor, request, MadeBy.SWEEP)
    except DependencyError as error:
        if load_source(store.settings) is None:
            raise
        # A log that is down fails the experiments that stand on it. Where it is the database, this raises again.
        with store.connect() as connection:
            connection.execute("SELECT 1")
        return _said(assessment, Outcome.FAILED, " ".join(str(error).split()))
    except (PromotionError, psycopg.Error) as error:
        return _said(assessment, Outcome.FAILED, " ".join(str(error).split()))


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
    scene = lock_experiment(connection, store, experiment_id)
    reached(FaultPoint.LOCKED)
    live = live_promotion(connection, experiment_id)
    if live is not None:
        return _already(scene, live)
    if not scene.experiment.is_active:
        message = f"{scene.experiment.name!r} is not running any more"
        return SweepEntry(experiment_name=scene.experiment.name, outcome=Outcome.NOTHING_TO_DO, message=message)
    candidate = assess_under_lock(scene, request, made_by)
    without_act = _without_act(candidate.assessment)
    if without_act is not None:
        return without_act
    withheld = withheld_because(candidate.assessment)
    if WAITING.intersection(withheld):
        if WithheldReason.INCOMPLETE_DATA in withheld and candidate.assessment.completeness is not None:
            partly.append(candidate.assessment.completeness)
        return _said(candidate.assessment, Outcome.WITHHELD, _because(candidate.assessment, withheld))
    if store.settings.mode is Mode.SHADOW:
        return _record_shadow(scene, candidate, actor, withheld)
    if withheld:
        return _ask(scene, candidate, actor, withheld)
    signature = replace(_signature(candidate, actor), metadata=acknowledgement(candidate.assessment, None, None))
    promotion = record_promotion(scene, candidate, signature)
    share = promotion.ramp_percents[promotion.ramp_step]
    step = "" if share == 100 else f" to {share:g} % of the traffic, its first step"
    message = (
        f"promoted {promotion.promoted_variant_name!r}{step}: {promotion.improvement:+.2f} % at"
        f" {promotion.confidence:.2f} % confidence"
    )
    return _said(candidate.assessment, Outcome.PROMOTED, message, promotion_id=promotion.id)


def _without_act(assessment: Assessment) -> SweepEntry | None:
    """The entry of an experiment about which nothing is to be done."""
    eligibility = assessment.eligibility
    if eligibility.verdict is Verdict.ERROR:
        return _said(assessment, Outcome.FAILED, "; ".join(eligibility.reasons))
    if not eligibility.is_eligible:
        return _said(assessment, Outcome.NOT_ELIGIBLE, "; ".join(eligibility.reasons))
    if WithheldReason.DISABLED in eligibility.evidence.withheld:
        return _said(assessment, Outcome.DISABLED, "automatic promotion is off (AUTO_PROMOTION_ENABLED=false)")
    if eligibility.hold is not None:
        return _said(assessment, Outcome.HELD, f"on hold: {eligibility.hold}")
    return None


def _ask(scene: Scene, candidate: Candidate, actor: str, withheld: tuple[WithheldReason, ...]) -> SweepEntry:
    approval, is_new = request_approval(scene, candidate, actor)
    said = _because(candidate.assessment, withheld)
    if approval.state is ApprovalState.APPROVED:
        message = f"approved by {approval.answered_by}; the next run applies it"
    else:
        message = f"{'a person is asked' if is_new else 'waits for approval'}: {said}"
    return _said(candidate.assessment, Outcome.AWAITING_APPROVAL, message, approval_id=approval.id)


def _because(assessment: Assessment, withheld: tuple[WithheldReason, ...]) -> str:
    return "; ".join(withheld_sentence(assessment, reason) for reason in withheld)


def _record_shadow(scene: Scene, candidate: Candidate, actor: str, withheld: tuple[WithheldReason, ...]) -> SweepEntry:
    """Keep what would have been done, once a phase and variant; no traffic, no phase, no notification."""
    eligibility = candidate.assessment.eligibility
    if withheld:
        return _said(
            candidate.assessment, Outcome.SHADOW, f"shadow: would have asked a person about {eligibility.winner!r}"
        )
    signature = _signature(candidate, actor)
    snapshot = snapshot_of(scene, candidate.assessment, candidate.rollups, candidate.config.ramp_steps)
    snapshot |= candidate.brought
    promotion = insert_promotion(scene, candidate, signature, snapshot, PromotionState.SHADOW)
    message = f"shadow: would have promoted {eligibility.winner!r}"
    if promotion is None:
        return _said(candidate.assessment, Outcome.SHADOW, f"{message} (recorded before)")
    if not candidate.assessment.is_overridden:
        write_decision_of_record(scene.connection, candidate.assessment, scene.store.settings, signature.made_by)
    details = {"winner": promotion.promoted_variant_name, **candidate.brought}
    scene.audit(actor, Action.SHADOW_PROMOTE, promotion.id, details)
    return _said(candidate.assessment, Outcome.SHADOW, message, promotion_id=promotion.id)


def _signature(candidate: Candidate, actor: str) -> Signature:
    return Signature(PromotionType.AUTO, actor, {}, made_by=candidate.assessment.made_by)


def _already(scene: Scene, live: Promotion) -> SweepEntry:
    message = f"{live.promoted_variant_name!r} was promoted by {live.promoted_by} meanwhile"
    return SweepEntry(
        experiment_name=scene.experiment.name,
        outcome=Outcome.ALREADY_PROMOTED,
        message=message,
        promotion_id=live.id,
    )


def _said(
    assessment: Assessment,
    outcome: Outcome,
    message: str,
    *,
    promotion_id: UUID | None = None,
    approval_id: UUID | None = None,
) -> SweepEntry:
    overruled = tuple(map(_overruled, assessment.overruled))
    return SweepEntry(
        experiment_name=assessment.experiment.name,
        outcome=outcome,
        message="; ".join([message, *(over.message for over in overruled)]),
        eligibility=assessment.eligibility,
        promotion_id=promotion_id,
        approval_id=approval_id,
        overruled=overruled,
    )


def _overruled(over: Overruled) -> OverruledThreshold:
    name = to_camel(over.threshold)
    asked, used = (json_ready(value) for value in (over.asked, over.used))
    said = f"{name}={json.dumps(asked)} of the request "
    if over.is_stricter:
        said += f"does not loosen the experiment's own {json.dumps(used)}"
    else:
        said += f"is not used: it stays as the experiment has it, {json.dumps(used)}"
    return OverruledThreshold(threshold=name, asked=asked, used=used, message=said)
