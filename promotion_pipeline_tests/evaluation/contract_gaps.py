"""What a row of the contract lacks, in the code and in the database: each as a sentence that says what to add."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import promotion_pipeline.store.migrations.versions as versions
from promotion_pipeline.config import CONTRACT_THRESHOLDS, PromotionConfig, meaning_of
from promotion_pipeline.evaluation.codes import Verdict
from promotion_pipeline.evaluation.contract import ContractCheck
from promotion_pipeline.store.database import Connection

TABLE = "eligibility_decisions"


def gaps_in_code(check: ContractCheck) -> Iterator[str]:
    """What the row itself lacks."""
    row = f"the row of {check.name!r}"
    if check.threshold not in PromotionConfig.model_fields:
        yield f"{row}: PromotionConfig has no field {check.threshold!r}; add it in config/thresholds.py"
    elif check.threshold not in CONTRACT_THRESHOLDS:
        yield f"{row}: mark the field {check.threshold!r} of PromotionConfig with OfContract(unit)"
    elif not meaning_of(check.threshold):
        yield f"{row}: say below the field {check.threshold!r} what it means"
    for word in ("title", "subject", "made_of"):
        if not getattr(check, word).strip():
            yield f"{row}: {word} is empty"
    if check.fails_as not in (Verdict.NOT_YET, Verdict.REJECTED):
        yield f"{row}: fails_as is {check.fails_as.value!r}; a check that fails is not_yet or rejected"


def gaps_in_database(check: ContractCheck, connection: Connection) -> Iterator[str]:
    """Which columns and which condition the migration has to add."""
    kinds = {check.name: "boolean", check.threshold_column: "double precision", check.observed: "double precision"}
    rows = connection.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", [TABLE])
    known = {row["attname"] for row in rows}
    for column, kind in kinds.items():
        if column not in known:
            yield (
                f"{TABLE} has no column {column!r}: add migration {_next_migration()} with"
                f" ALTER TABLE {TABLE} ADD COLUMN {column} {kind}"
            )
    rows = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) AS condition FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%%(is_eligible = %%'",
        [TABLE],
    )
    for row in rows:
        if not re.search(rf"\b{check.name}\b", row["condition"]):
            yield (
                f"the constraint {row['conname']} of {TABLE} lets a row be eligible without {check.name!r}: drop it in"
                f" migration {_next_migration()} and add it anew with coalesce({check.name}, true)"
            )


def _next_migration() -> str:
    folder = Path(versions.__file__).parent
    return f"{max(int(file.name[:4]) for file in folder.glob('[0-9]*.py')) + 1:04d}"
