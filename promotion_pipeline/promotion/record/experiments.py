"""Experiments as the lifecycle sees them: the row, its variants, its open phase."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg import sql

from promotion_pipeline.config import PromotionConfig, Settings, thresholds_in_force
from promotion_pipeline.config.precedence import ThresholdsInForce
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.promotion.record.splits import Split
from promotion_pipeline.store.database import Connection

MOST_PAIRS, MOST_CLOSE = 16, 200
"""Pairs of letters of an unknown name, and names that are compared with it: of 50,000 the comparison takes a second."""


@dataclass(frozen=True, kw_only=True)
class ExperimentFacts:
    """What an answer about an experiment speaks of, as far as it is known: of a past decision only its name may be."""

    id: UUID
    name: str
    hold: str | None = None
    """Why automatic promotion is on hold; None: it is not."""
    start_date: datetime | None = None
    """None: a draft, which is not running, or not known."""
    end_date: datetime | None = None
    """When it shall stop; None: not said."""
    phase_started_at: datetime | None = None
    phase_began_by: str | None = None
    """What ended the phase before the open one, as words; None: there was none, or it is not known."""


@dataclass(frozen=True, kw_only=True)
class Experiment(ExperimentFacts):
    """One row of `ab_experiments` with its open phase (None while it has no variants)."""

    is_active: bool
    promotion_config: object
    rollup_source: str
    phase_id: UUID | None
    phase_is_running: bool


@dataclass(frozen=True)
class Variant:
    """One row of `ab_variants`."""

    id: UUID
    name: str
    is_control: bool
    traffic: Decimal


# PostgreSQL can hold dates that Python cannot (infinity, the year 20000): they come as the nearest that it can.
END_DATE = (
    "CASE WHEN e.end_date IS NOT NULL THEN"
    " least(greatest(e.end_date::timestamptz, '0002-01-01 00:00Z'), '9998-12-31 00:00Z') END"
)
BEGAN_BY = """
    SELECT CASE
        WHEN before.traffic IS DISTINCT FROM p.traffic THEN 'the split changed'
        WHEN p.is_running AND NOT before.is_running THEN 'it was started again'
        WHEN before.plan IS DISTINCT FROM p.plan
            THEN 'planned_sample_size, or how its error is spent, changed after the first look'
        WHEN EXISTS (SELECT 1 FROM jsonb_each(before.fixed) AS one WHERE p.fixed -> one.key <> one.value)
            THEN 'what a metric counts changed ('
                || (SELECT string_agg(substr(one.key, length('metric:') + 1), ', ' ORDER BY one.key)
                    FROM jsonb_each(before.fixed) AS one WHERE p.fixed -> one.key <> one.value) || ')'
        END
    FROM ab_experiment_phases AS before
    WHERE before.experiment_id = p.experiment_id AND before.ended_at IS NOT NULL AND before.started_at < p.started_at
    ORDER BY before.started_at DESC LIMIT 1"""
"""Words for why the open phase `p` began."""
_SELECT = f"""
    SELECT e.id, e.name::text, e.is_active, e.start_date::timestamptz, {END_DATE} AS end_date, e.promotion_config,
        e.auto_promotion_hold AS hold, e.rollup_source, p.id AS phase_id, p.started_at AS phase_started_at,
        coalesce(p.is_running, false) AS phase_is_running, ({BEGAN_BY}) AS phase_began_by
    FROM ab_experiments e
    LEFT JOIN ab_experiment_phases p ON p.experiment_id = e.id AND p.ended_at IS NULL
"""


def running_experiments(connection: Connection) -> list[Experiment]:
    """Every active experiment, by name."""
    return [
        Experiment(**row)
        for row in connection.execute(_SELECT + " WHERE e.is_active AND e.start_date IS NOT NULL ORDER BY e.name")
    ]


def experiments_named(connection: Connection, names: Sequence[str]) -> list[Experiment]:
    """The experiments of these names, in the order asked for.

    Raises:
        NotFoundError: there is no experiment of a name; names the closest ones.
    """
    rows = connection.execute(_SELECT + " WHERE e.name = ANY(%s)", [list(names)])
    found = {row["name"]: Experiment(**row) for row in rows}
    for name in names:
        if name not in found:
            raise NotFoundError(_unknown(connection, name))
    return [found[name] for name in names]


def experiment_of(connection: Connection, experiment_id: UUID) -> Experiment:
    """The experiment of an id.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute(_SELECT + " WHERE e.id = %s", [experiment_id]).fetchone()
    if row is None:
        raise NotFoundError(f"no experiment has the id {experiment_id}")
    return Experiment(**row)


def _unknown(connection: Connection, name: str) -> str:
    """What is said of a name that nothing has: the closest of those that share most pairs of letters with it."""
    folded = name.casefold()
    pairs = sorted({folded[at : at + 2] for at in range(len(folded) - 1)})[:MOST_PAIRS]
    shared = sql.SQL(" + ").join(
        sql.SQL("(position({} IN folded) > 0)::integer").format(sql.Literal(pair)) for pair in pairs
    )
    rows = connection.execute(
        sql.SQL(
            'SELECT name FROM (SELECT name::text, lower(name::text COLLATE "C") AS folded FROM ab_experiments'
            " OFFSET 0) AS known ORDER BY ({}) DESC, name LIMIT {}"
        ).format(shared if pairs else sql.SQL("0 + 0"), sql.Literal(MOST_CLOSE))
    )
    by_folded = {str(row["name"]).casefold(): str(row["name"]) for row in rows}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    if close:
        hint = "did you mean " + " or ".join(repr(by_folded[match]) for match in close) + "?"
    else:
        first = [row["name"] for row in connection.execute("SELECT name FROM ab_experiments ORDER BY name LIMIT 5")]
        hint = "known are " + ", ".join(map(repr, first)) if first else "there are no experiments yet"
    return f"no experiment is called {name!r}; {hint}"


def variants_of(connection: Connection, experiment_id: UUID) -> tuple[Variant, ...]:
    """The variants of an experiment, control first, then by name."""
    rows = connection.execute(
        "SELECT id, name::text, is_control, traffic_percentage::numeric AS traffic FROM ab_variants"
        " WHERE experiment_id = %s ORDER BY is_control DESC, name",
        [experiment_id],
    )
    return tuple(Variant(**row) for row in rows)


def split_of(variants: Sequence[Variant]) -> Split:
    """Percent of traffic by variant id."""
    return {str(variant.id): variant.traffic for variant in variants}


def thresholds_of(
    settings: Settings, experiment: Experiment, request: PromotionConfig | None = None, *, is_unattended: bool = False
) -> ThresholdsInForce:
    """The thresholds that an experiment is judged with: `promotion_pipeline.config.precedence`.

    Raises:
        ConfigError: the experiment's `promotion_config` is not valid.
    """
    return thresholds_in_force(
        settings.thresholds,
        experiment.promotion_config,
        request,
        is_unattended=is_unattended,
        source=f"promotion_config of {experiment.name!r}",
    )
