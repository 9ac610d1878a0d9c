"""What changes between two labels: the decisions of record, a re-evaluation, a what-if."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

from psycopg import sql

from promotion_pipeline.decisions.late import outcome_of
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.text.numbers import hour_text

_SQL = statements(__file__)


class Effect(StrEnum):
    """What the second label would have meant for an experiment's promotion."""

    NONE = "none"
    """The same promotion, or none either way."""
    NOT_THEN = "not_then"
    """The promotion would not have happened when it did, and not before."""
    EARLIER = "earlier"
    """The promotion could have happened earlier."""
    NEW = "new"
    """Nothing was promoted, or promotable; it would have been promotable."""
    GONE = "gone"
    """Nothing was promoted, but it was promotable; it would not have been."""


@dataclass(frozen=True)
class ExperimentDiff:
    """One experiment under two labels, over the hours that both decided. As-ofs are ends of hours; None is never."""

    experiment_id: UUID
    name: str
    hours: int
    """Hours that both labels decided."""
    only_a: int
    only_b: int
    differing: int
    """Hours whose verdict, promotability or eligible candidate differ."""
    first_hour: datetime | None
    last_hour: datetime | None
    changes: dict[str, int]
    """Hours by what became of what, such as `promotable: b -> rejected`."""
    eligible_a: datetime | None
    """As-of at which it first was eligible."""
    eligible_b: datetime | None
    promotable_a: datetime | None
    promotable_b: datetime | None
    promoted_at: datetime | None
    """As-of of the first promotion in these hours."""
    promoted: str | None
    effect: Effect

    @property
    def is_different(self) -> bool:
        """Whether anything changes."""
        return self.differing > 0 or self.effect is not Effect.NONE

    @property
    def hours_earlier(self) -> float | None:
        """How much sooner it could have been promoted."""
        if self.effect is not Effect.EARLIER or self.promoted_at is None or self.promotable_b is None:
            return None
        return (self.promoted_at - self.promotable_b).total_seconds() / 3600


@dataclass(frozen=True)
class LabelDiff:
    """What changes from one label to another."""

    label_a: str
    label_b: str
    experiments: tuple[ExperimentDiff, ...]
    """Every experiment that either label decided, those that differ most first."""

    @property
    def different(self) -> tuple[ExperimentDiff, ...]:
        """The experiments that change."""
        return tuple(experiment for experiment in self.experiments if experiment.is_different)

    @property
    def summary(self) -> str:
        """The whole in one sentence."""
        hours = sum(experiment.hours for experiment in self.experiments)
        differing = sum(experiment.differing for experiment in self.experiments)
        effects = [experiment.effect for experiment in self.experiments]
        said = {
            "not promoted then": effects.count(Effect.NOT_THEN),
            "promotable earlier": effects.count(Effect.EARLIER),
            "newly promotable": effects.count(Effect.NEW),
            "no longer promotable": effects.count(Effect.GONE),
        }
        rest = "".join(f"; {number:,} {words}" for words, number in said.items() if number)
        return (
            f"{len(self.different):,} of {len(self.experiments):,} experiments and {differing:,} of {hours:,} decisions"
            f" differ between {self.label_a!r} and {self.label_b!r}{rest}"
        )


def compare_labels(
    store: Store,
    label_a: str,
    label_b: str,
    start: datetime | None = None,
    end: datetime | None = None,
    experiments: Sequence[str] = (),
) -> LabelDiff:
    """What changes from `label_a` to `label_b` in the hours of [start, end), experiment by experiment.

    Only hours that both labels decided are compared. One pass over the two labels' rows.

    Args:
        start: first hour; None from the first one on.
        experiments: names; none means all.

    Raises:
        NotFoundError: a label or an experiment is unknown; names the closest.
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        for label in (label_a, label_b):
            _require_label(connection, label)
        ids = ids_of(connection, experiments) if experiments else None
        sides = {
            f"decisions_{side}": _SQL["decisions_of_label"].format(
                label=sql.Placeholder(side), outcome=outcome_of("decided")
            )
            for side in ("a", "b")
        }
        values = {"a": label_a, "b": label_b, "start": start, "end": end, "ids": ids}
        rows = connection.execute(_SQL["diff"].format(**sides), values)
        return LabelDiff(label_a, label_b, tuple(_diff(row) for row in rows))


DIFF_COLUMNS = ("experiment", "hours that differ", "first", "last", "what became of what", "promotable", "promotion")
"""Heads of the table that a person reads."""


def diff_cells(one: ExperimentDiff) -> tuple[str, ...]:
    """One experiment in that table; times in UTC."""
    ways = sorted(one.changes.items(), key=lambda item: -item[1])
    said = "; ".join(f"{way} ({hours:,})" for way, hours in ways[:3]) + ("; ..." if len(ways) > 3 else "")
    before, after = _time(one.promotable_a), _time(one.promotable_b)
    return (
        one.name,
        f"{one.differing:,} of {one.hours:,}",
        _time(one.first_hour),
        _time(one.last_hour),
        said or "-",
        before if before == after else f"{before} -> {after}",
        _effect_text(one),
    )


def _effect_text(one: ExperimentDiff) -> str:
    match one.effect:
        case Effect.NONE:
            return "-" if one.promoted is None else f"the same: {one.promoted} at {_time(one.promoted_at)}"
        case Effect.NOT_THEN:
            return f"{one.promoted} would not have been promoted at {_time(one.promoted_at)}"
        case Effect.EARLIER:
            return f"could have been promoted {one.hours_earlier:,.0f} hours earlier"
        case Effect.NEW:
            return "would have been promotable"
        case Effect.GONE:
            return "would not have been promotable"
        case _ as never:
            assert_never(never)


def _time(at: datetime | None) -> str:
    return "never" if at is None else hour_text(at)


def _diff(row: dict[str, Any]) -> ExperimentDiff:
    holds = row.pop("holds")
    return ExperimentDiff(**row, effect=_effect(row, holds))


def _effect(row: dict[str, Any], holds: bool) -> Effect:
    before, after, promoted = row["promotable_a"], row["promotable_b"], row["promoted_at"]
    if promoted is not None:
        # What was promotable earlier under the first label too was kept back by something else.
        if after is not None and after < promoted and (before is None or after < before):
            return Effect.EARLIER
        return Effect.NONE if holds else Effect.NOT_THEN
    if (before is None) == (after is None):
        return Effect.NONE
    return Effect.NEW if before is None else Effect.GONE


def _require_label(connection: Connection, label: str) -> None:
    if connection.execute("SELECT 1 FROM eligibility_decisions WHERE label = %s LIMIT 1", [label]).fetchone():
        return
    known = [row["label"] for row in connection.execute("SELECT DISTINCT label FROM eligibility_decisions ORDER BY 1")]
    raise NotFoundError(f"nothing is stored under the label {label!r}; {_hint(label, known, 'labels')}")


def ids_of(connection: Connection, names: Sequence[str]) -> list[str]:
    """The ids of experiments.

    Raises:
        NotFoundError: a name is unknown; names the closest.
    """
    known = {row["name"]: str(row["id"]) for row in connection.execute("SELECT id, name FROM ab_experiments")}
    for name in names:
        if name not in known:
            raise NotFoundError(f"no experiment is called {name!r}; {_hint(name, list(known), 'experiments')}")
    return [known[name] for name in names]


def _hint(given: str, known: Sequence[str], things: str) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if 0 < len(known) <= 20 and things == "labels":
        return f"there are {', '.join(map(repr, known))}"
    return f"there are {len(known)} {things}"
