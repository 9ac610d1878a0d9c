"""Flags evaluated from memory, by flagd's own library, so that our door and a flagd elsewhere hash alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import mmh3
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from promotion_pipeline.config import FlagHash
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.allocation import BUCKETS, variant_of
from promotion_pipeline.traffic.allocations import allocation_in_force
from promotion_pipeline.traffic.flags import FlaggedExperiment, FlagSet, flag_set, standing_of
from promotion_pipeline.traffic.kept import Kept, Looked

SQL = statements(__file__)
LONGEST_TARGETING_KEY = 10_000


@dataclass(frozen=True)
class FlagAnswer:
    """What one user gets of one flag."""

    key: str
    reason: str
    """`SPLIT`: by the user's bucket; `STATIC`: everybody gets this; `DISABLED`: the application's default counts."""
    variant: str
    """Of a flag that is disabled: control, which the application's default should be."""
    value: str | None
    """None: the application's default."""
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class ServedFlags:
    """The flags of one look, ready to be evaluated and published."""

    flags: FlagSet
    rows: list[dict[str, Any]]
    """What they were made from: where these are unchanged, so are the flags."""
    versions: dict[str, Any]
    """Of the rows of every table that they are read from: where these are unchanged, so are `rows`."""
    document: bytes
    """The flagd definition as JSON."""
    version: str
    """Of that document: a hash of it."""
    hash: FlagHash
    """How users are dealt out."""
    _definitions: Mapping[str, Any] = field(repr=False)
    _evaluator: FlagdCore = field(repr=False)

    def answer(self, key: str, targeting_key: str) -> FlagAnswer:
        """What a user gets of a flag of `flags.experiments`.

        Raises:
            KeyError: it is none of them.
        """
        definition = self._definitions[key]
        if self.hash is FlagHash.TEXT and targeting_key and self.flags.experiments[key].is_served:
            return self._by_text(key, targeting_key)
        found = self._evaluator.resolve_string_value(key, "", EvaluationContext(targeting_key=targeting_key))
        if found.reason == Reason.DISABLED:
            return FlagAnswer(key, "DISABLED", definition["defaultVariant"], None, definition["metadata"])
        assert found.variant is not None
        reason = "SPLIT" if "targeting" in definition else "STATIC"
        return FlagAnswer(key, reason, found.variant, found.value, definition["metadata"])

    def _by_text(self, key: str, targeting_key: str) -> FlagAnswer:
        """As flagd did before its library that is used here: MurmurHash3 of both texts, then the walk of `fractional`.

        https://flagd.dev/reference/custom-operations/fractional-operation/
        """
        experiment, definition = self.flags.experiments[key], self._definitions[key]
        bucket = mmh3.hash(key + targeting_key, signed=False) * BUCKETS >> 32
        variant = experiment.variants[variant_of(experiment.allocation, bucket)]
        reason = "SPLIT" if "targeting" in definition else "STATIC"
        return FlagAnswer(key, reason, variant, variant, definition["metadata"])


class FlagServer:
    """The flags of a database, as they are at most a second later."""

    def __init__(self, store: Store, flag_hash: FlagHash = FlagHash.CBOR) -> None:
        self._store, self._hash = store, flag_hash
        self.kept: Kept[ServedFlags] = Kept(self._read, "flags")

    def look(self) -> Looked[ServedFlags]:
        """The flags; asks the database the first time only.

        Raises:
            DependencyError: they were never read, and the database is down.
        """
        return self.kept.look()

    def _read(self, before: ServedFlags | None) -> ServedFlags:
        with self._store.connect() as connection:
            return read_flags(connection, before, self._hash)


def read_flags(
    connection: Connection, before: ServedFlags | None = None, flag_hash: FlagHash = FlagHash.CBOR
) -> ServedFlags:
    """The flags of every experiment whose `traffic_target` is `ofrep` or `flagd`.

    Both doors serve both kinds: an application may evaluate on its servers by flagd and in its pages by OFREP.

    Args:
        before: what was read last; returned where nothing has changed.
    """
    # Before the rows: what changes in between is seen the next time.
    versions = connection.execute(SQL["versions"]).fetchone()
    assert versions is not None
    if before is not None and versions == before.versions:
        return before
    rows = connection.execute(SQL["flagged_experiments"]).fetchall()
    if before is not None and rows == before.rows:
        return replace(before, versions=versions)
    flags = flag_set(experiment for row in rows if (experiment := _experiment_of(row)) is not None)
    return served(flags, rows, versions, flag_hash)


def served(
    flags: FlagSet,
    rows: list[dict[str, Any]] | None = None,
    versions: dict[str, Any] | None = None,
    flag_hash: FlagHash = FlagHash.CBOR,
) -> ServedFlags:
    """Flags with their document and an evaluator."""
    definition = flags.definition()
    document = json.dumps(definition, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")
    evaluator = FlagdCore()
    # From text: the evaluator changes the objects that it is given.
    evaluator.set_flags(document.decode())
    version = hashlib.sha256(document).hexdigest()[:32]
    return ServedFlags(flags, rows or [], versions or {}, document, version, flag_hash, definition["flags"], evaluator)


def _experiment_of(row: Mapping[str, Any]) -> FlaggedExperiment | None:
    flag = row["target"].get("flag")
    if not isinstance(flag, str) or not flag:
        return None
    variants = [variant for variant in row["variants"] if variant["name"] is not None]
    split = {variant["id"]: Decimal(variant["share"]) for variant in variants if variant["share"] is not None}
    found = allocation_in_force(row["generation"], row["buckets"], split)
    controls = sorted(variant["name"] for variant in variants if variant["is_control"])
    return FlaggedExperiment(
        experiment_id=row["id"],
        name=row["name"],
        flag=flag,
        started_at=row["started_at"],
        standing=standing_of(row["is_active"], row["promotion_state"]),
        variants={variant["id"]: variant["name"] for variant in variants},
        control=controls[0] if controls else None,
        allocation=() if found is None else found.allocation,
    )
