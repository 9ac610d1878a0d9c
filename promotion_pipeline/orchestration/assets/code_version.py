"""Which code fills a table, and whether that changed since it was last filled: what is told once a release."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Iterable
from typing import Any

import dagster as dg

from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.orchestration.assets.lineage import LINEAGE

DISTRIBUTION = "promotion-pipeline"
VERSION_TAG = "dagster/code_version"
"""Dagster puts it on every materialization."""


@functools.cache
def code_version(table: str) -> str:
    """The release, and a fingerprint of the table's columns and of what they are made of."""
    try:
        release = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        release = "source"
    made_of = f"{SCHEMAS.get(table)} {LINEAGE.get(table)}"
    return f"{release}+{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


def lineage_if_new(context: dg.AssetExecutionContext, table: str) -> dict[str, Any]:
    """The table's column lineage, where its newest event is of other code: it is as large as the rest of an event.

    The definition of the asset has it too.
    """
    spec = spec_of(context, table)
    newest = context.instance.get_latest_materialization_event(spec.key)
    told = None if newest is None else newest.asset_materialization
    known = None if told is None or told.tags is None else told.tags.get(VERSION_TAG)
    lineage = "dagster/column_lineage"
    return {} if known == spec.code_version else {lineage: spec.metadata[lineage]}


def spec_of(context: dg.AssetExecutionContext, table: str) -> dg.AssetSpec:
    """The definition of the table that this step fills, whatever stands before its name."""
    specs: Iterable[dg.AssetSpec] = context.assets_def.specs
    return next(spec for spec in specs if spec.key.path[-1] == table)
