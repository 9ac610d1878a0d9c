"""What people and the system did, told to Dagster as events on `experiment_promotions`.

The audit is the truth: whichever door an act came through, and even if its process died right after, its row there
becomes an event, once.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.place import BARE, Placement
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import acting_in_run

AUDIT_ID = "audit_id"
"""Metadata of an event: the audit row that it tells of."""
MAX_ACTS = 200
"""Acts told at once; the next call tells the next ones."""

NAMED = 3
"""Experiments that the tags of a run name."""
LONGEST_NAME = 80


def acts_after(store: Store, audit_id: int, *, settled_seconds: float = 0.0) -> list[dict[str, Any]]:
    """The audit's rows after `audit_id`, oldest first, with the experiments' names; at most `MAX_ACTS`.

    Args:
        settled_seconds: leave out what is younger: a transaction that began earlier may still add a smaller id.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        return connection.execute(
            """
            SELECT audit.id, audit.at, audit.actor, audit.action, audit.promotion_id, audit.details,
                experiment.name AS experiment_name
            FROM promotion_audit AS audit JOIN ab_experiments AS experiment ON experiment.id = audit.experiment_id
            WHERE audit.id > %s AND audit.at <= clock_timestamp() - %s * interval '1 second'
            ORDER BY audit.id LIMIT %s
            """,
            (audit_id, settled_seconds, MAX_ACTS),
        ).fetchall()


def newest_act(store: Store) -> int:
    """The id of the audit's newest row; 0 if it is empty."""
    with store.connect() as connection:
        row = connection.execute("SELECT coalesce(max(id), 0) AS id FROM promotion_audit").fetchone()
    assert row is not None
    return int(row["id"])


def act_event(act: Mapping[str, Any], place: Placement = BARE) -> dg.AssetMaterialization:
    """The event that tells of one row of `acts_after`."""
    details = {name: value for name, value in act["details"].items() if value is not None}
    return dg.AssetMaterialization(
        asset_key=place.key(names.PROMOTIONS),
        description=f"{act['action']} {act['experiment_name']} by {act['actor']}",
        metadata={
            AUDIT_ID: act["id"],
            "experiment": act["experiment_name"],
            "action": act["action"],
            "actor": act["actor"],
            "at": dg.MetadataValue.timestamp(act["at"]),
            "details": dg.MetadataValue.json(details),
        },
    )


def untold(
    instance: dg.DagsterInstance, acts: Sequence[Mapping[str, Any]], place: Placement = BARE
) -> list[Mapping[str, Any]]:
    """Those of `acts` that have no event yet."""
    if not acts:
        return []
    # An act has at most one event, and events come after their acts: the newest ones hold all that could be told.
    records = instance.fetch_materializations(place.key(names.PROMOTIONS), limit=2 * MAX_ACTS).records
    told = {
        record.asset_materialization.metadata[AUDIT_ID].value
        for record in records
        if record.asset_materialization is not None and AUDIT_ID in record.asset_materialization.metadata
    }
    return [act for act in acts if act["id"] not in told]


@contextlib.contextmanager
def told_in_run(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, store: Store, place: Placement
) -> Iterator[None]:
    """Tell of the acts that happen meanwhile as events of this run, also when it fails; their messages link to it."""
    before = newest_act(store)
    try:
        with acting_in_run(context.run.run_id):
            yield
    finally:
        acts = untold(context.instance, acts_after(store, before), place)
        for act in acts:
            context.log_event(act_event(act, place))
        if acts:
            tag_experiments(context, {act["experiment_name"] for act in acts})


def tag_experiments(context: dg.OpExecutionContext | dg.AssetExecutionContext, experiments: Iterable[str]) -> None:
    """Let people find this run by the experiments that it acted upon."""
    context.instance.add_run_tags(context.run.run_id, experiment_tags(experiments))


def experiment_tags(experiments: Iterable[str]) -> dict[str, str]:
    """How many experiments a run acts upon, and the first of their names: two tags, however many there are."""
    known = sorted(set(experiments))
    if not known:
        return {}
    shown = ", ".join(textwrap.shorten(name, LONGEST_NAME, placeholder="...") for name in known[:NAMED])
    more = f" and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
    return {names.EXPERIMENTS_TAG: str(len(known)), names.EXPERIMENT_NAMES_TAG: shown + more}


def who(context: dg.OpExecutionContext, given: str) -> str:
    """Who acts in a run that a person launched: the name that was given, else the run."""
    return given.strip() or f"dagster (run {context.run_id[:8]})"
