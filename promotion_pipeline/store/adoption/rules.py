"""What a team's tables must be like, column by column; what is not so is refused before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from promotion_pipeline.store.adoption.catalog import FoundColumn, Relation

TEXTS = frozenset({"text", "character varying", "character", "citext", "name"})
NUMBERS = frozenset({"numeric", "smallint", "integer", "bigint", "real", "double precision"})
WHOLE_NUMBERS = frozenset({"smallint", "integer", "bigint"})
TIMES = frozenset({"timestamp with time zone", "timestamp without time zone"})
FLAGS = frozenset({"boolean"}) | WHOLE_NUMBERS
KEEP_YOURS = (
    "keep your tables, give the product a schema of its own, map the log by names (docs/adopting.md#keep-your-tables)"
)


@dataclass(frozen=True)
class ColumnRule:
    """What one column may be."""

    types: frozenset[str]
    """Base types that work as they are."""
    target: str
    """The type to change another one to."""
    is_needed: bool = True
    """Whether the table is refused without the column."""
    is_key: bool = False
    """An id that our tables refer to: a change of its type is no single line."""
    is_unique: bool = False

    @property
    def expected(self) -> str:
        """The types in words."""
        shown = {"timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp"}
        names = sorted(shown.get(name, name) for name in self.types)
        return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


_ID = ColumnRule(frozenset({"uuid"}), "uuid", is_key=True)
_OWN_ID = ColumnRule(frozenset({"uuid"}), "uuid", is_key=True, is_unique=True)
_NAME = ColumnRule(TEXTS, "text")
_FLAG = ColumnRule(frozenset({"boolean"}), "boolean")
_TIME = ColumnRule(TIMES, "timestamptz")
_JSON = ColumnRule(frozenset({"jsonb"}), "jsonb", is_needed=False)
_NUMBER = ColumnRule(NUMBERS, "double precision", is_needed=False)
_ANY_ID = ColumnRule(TEXTS | WHOLE_NUMBERS | {"uuid"}, "text", is_needed=False)

RULES: dict[str, dict[str, ColumnRule]] = {
    "ab_experiments": {
        "id": _OWN_ID,
        "name": _NAME,
        "is_active": _FLAG,
        "start_date": _TIME,
        "end_date": ColumnRule(TIMES, "timestamptz", is_needed=False),
        "promotion_config": _JSON,
        "auto_promotion_hold": ColumnRule(frozenset({"text"}), "text", is_needed=False),
        "rollup_source": ColumnRule(frozenset({"text"}), "text", is_needed=False),
        "traffic_target": _JSON,
        "owner_channel": ColumnRule(TEXTS, "text", is_needed=False),
    },
    "ab_variants": {
        "id": _OWN_ID,
        "experiment_id": _ID,
        "name": _NAME,
        "is_control": _FLAG,
        "traffic_percentage": ColumnRule(NUMBERS, "numeric"),
    },
    "ai_requests": {
        "experiment_id": _ID,
        "variant_id": _ID,
        "created_at": _TIME,
        "converted": ColumnRule(FLAGS, "boolean"),
        "is_error": ColumnRule(FLAGS, "boolean", is_needed=False),
        "latency_ms": _NUMBER,
        "user_id": _ANY_ID,
        "value": _NUMBER,
    },
    "experiment_promotions": {
        "id": _OWN_ID,
        "experiment_id": _ID,
        "experiment_name": _NAME,
        "promoted_variant_id": _ID,
        "promoted_variant_name": _NAME,
        "control_variant_id": _ID,
        "control_variant_name": _NAME,
        "confidence": ColumnRule(NUMBERS - WHOLE_NUMBERS, "numeric"),
        "improvement": ColumnRule(NUMBERS - WHOLE_NUMBERS, "numeric"),
        "sample_size": ColumnRule(WHOLE_NUMBERS - {"smallint"}, "bigint"),
        "promotion_type": _NAME,
        "promoted_by": ColumnRule(TEXTS | {"uuid"}, "text"),
        "promoted_at": _TIME,
        "rollback_at": _TIME,
        "rollback_reason": _NAME,
        "metadata": ColumnRule(frozenset({"jsonb"}), "jsonb"),
    },
}
"""Table -> column -> what it may be. Of a domain the type under it counts; other columns are the team's business."""


_WORDS = frozenset({"promotion_type", "state", "evidence"})
"""Columns of `experiment_promotions` that we write words of our own in, `rolled_back` the longest of them."""
_WRITTEN = _WORDS | {
    *(name for name, rule in RULES["experiment_promotions"].items() if rule.types >= TEXTS),
    "rolled_back_by",
}
"""Every column of `experiment_promotions` that we write text in."""
_TEXT_LENGTH = 1000
_WORD_LENGTH = 20


def refusals(found: dict[str, Relation]) -> Iterator[str]:
    """One line for everything that keeps these tables from being adopted: what is, what is expected, what to do."""
    for name, relation in found.items():
        if name != "ai_requests" and not relation.is_table:
            yield (
                f"{name} is no table: expected a table, for its changes are followed by triggers; rename the view and"
                f" the table under it, or {KEEP_YOURS}"
            )
            continue
        if relation.is_table and not relation.is_owner:
            yield (
                f"{name} belongs to the role {relation.owner}: expected a role that may alter it;"
                f' GRANT "{relation.owner}" TO the role that upgrades, or upgrade as {relation.owner}'
            )
        for column, rule in RULES[name].items():
            yield from _of_column(relation, column, rule)
        if name == "experiment_promotions":
            yield from _of_writes(relation)


def _of_column(relation: Relation, name: str, rule: ColumnRule) -> Iterator[str]:
    where = f"{relation.name}.{name}"
    column = relation.columns.get(name)
    if column is None:
        if rule.is_needed:
            yield _missing(relation, name, rule)
        return
    if column.base_type not in rule.types:
        yield f"{where} is {_said(column)}: expected {rule.expected}; {_remedy(relation, column, rule)}"
    elif rule.is_unique and name not in relation.unique_columns:
        yield (
            f"{where} is not unique: expected a primary key or a unique constraint;"
            f" ALTER TABLE {relation.name} ADD UNIQUE ({name})"
        )


def _missing(relation: Relation, name: str, rule: ColumnRule) -> str:
    where = f"{relation.name}.{name}"
    spelled = [other for other in relation.columns if _folded(other) == _folded(name)]
    if spelled and relation.name == "ai_requests":
        return (
            f'{where} is missing, and there is "{spelled[0]}": expected {rule.expected}; put a view of the name'
            " ai_requests over the table, or map its columns with AUTO_PROMOTION_SOURCE (docs/adopting.md)"
        )
    if spelled:
        return f'{where} is missing, and there is "{spelled[0]}": expected {rule.expected}; {KEEP_YOURS}'
    if relation.name == "experiment_promotions" or rule.is_key or name == "name":
        return f"{where} is missing: expected {rule.expected}; {KEEP_YOURS}"
    default = {"boolean": " NOT NULL DEFAULT false", "numeric": " NOT NULL DEFAULT 0"}.get(rule.target, "")
    return (
        f"{where} is missing: expected {rule.expected}; ALTER TABLE {relation.name} ADD {name} {rule.target}{default}"
    )


def _remedy(relation: Relation, column: FoundColumn, rule: ColumnRule) -> str:
    if rule.is_key:
        return KEEP_YOURS
    if not relation.is_table:
        return f"cast it in the view: {column.name}::{rule.target}"
    using = _conversion(column, rule.target)
    return f"ALTER TABLE {relation.name} ALTER {column.name} TYPE {rule.target} USING {using}"


def _conversion(column: FoundColumn, target: str) -> str:
    """An expression that gives the column in another type."""
    name, base = column.name, column.base_type
    if column.kind == "e" and target != "text":
        return f"{name}::text::{target}"
    if target == "boolean" and base in NUMBERS:
        return f"{name} <> 0"
    if target == "timestamptz" and base in NUMBERS:
        return f"to_timestamp({name})"
    if target == "double precision" and base == "interval":
        return f"1000 * extract(epoch FROM {name})"
    return f"{name}::{target}"


def _of_writes(promotions: Relation) -> Iterator[str]:
    """What would keep a promotion, or its rollback, from being recorded."""
    yield from _of_lengths(promotions)
    by = promotions.columns.get("promoted_by")
    if by is not None and by.base_type == "uuid" and not by.is_nullable:
        yield (
            "experiment_promotions.promoted_by is a uuid that must be given: expected one that may be null, for a name"
            " such as user-123 is none; ALTER TABLE experiment_promotions ALTER promoted_by DROP NOT NULL"
        )
    for name in ("rollback_at", "rollback_reason"):
        if name in promotions.columns and not promotions.columns[name].is_nullable:
            yield (
                f"experiment_promotions.{name} must be given: expected one that may be null, until there is a rollback;"
                f" ALTER TABLE experiment_promotions ALTER {name} DROP NOT NULL"
            )
    for name, column in promotions.columns.items():
        if name not in RULES["experiment_promotions"] and not column.is_nullable and not column.has_default:
            yield (
                f"experiment_promotions.{name} must be given: expected a default, since we do not know it;"
                f" ALTER TABLE experiment_promotions ALTER {name} DROP NOT NULL"
            )


def _of_lengths(promotions: Relation) -> Iterator[str]:
    """Texts that what we write does not fit in: found out now, not when a rollback is due."""
    for name, column in promotions.columns.items():
        needed = _WORD_LENGTH if name in _WORDS else _TEXT_LENGTH
        if name in _WRITTEN and column.max_length is not None and column.max_length < needed:
            yield (
                f"experiment_promotions.{name} is {_said(column)}: expected room for {needed} characters, since reasons"
                f" and names are kept whole; ALTER TABLE experiment_promotions ALTER {name} TYPE text"
            )


def _said(column: FoundColumn) -> str:
    if column.kind == "e":
        return f"the enum {column.type_name}"
    if column.kind == "d":
        return f"the domain {column.type_name} over {column.base_type}"
    return column.type_name


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
