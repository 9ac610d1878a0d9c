"""The rollups as of an hour, whether or not the hourly run has seen it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.coverage import LONGEST_PHASE, Missing, uncovered
from promotion_pipeline.rollups.phases import phase_overlaps
from promotion_pipeline.rollups.postgresql.arms import hour_of
from promotion_pipeline.rollups.postgresql.rollup import aggregation, as_columns
from promotion_pipeline.rollups.postgresql.users import USER_HOUR, difference, known_user_hours, user_hours
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, MOMENTS, SUMS
from promotion_pipeline.rollups.stored import stored_columns
from promotion_pipeline.store.bulk import Source, identifiers, ids_filter, read_frame, rendered, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

RECENT = timedelta(hours=48)
"""What lacks more than this is read apart from what only lacks its newest hours."""


ReadLog: TypeAlias = Callable[[datetime, datetime, Sequence[str] | None], pd.DataFrame]
"""The sums of [start, end) of these experiments in a log elsewhere, with user-level sums; columns ROLLUP_COLUMNS."""


def rollups_as_of(
    source: Source, as_of: datetime, experiment_ids: Sequence[str] | None = None, read_log: ReadLog | None = None
) -> pd.DataFrame:
    """The rollups before `as_of` of every phase of its last hour, back to the phase's start.

    What of a phase is in its rollups is read, the rest is aggregated from the requests: of `ai_requests` in one
    statement and so from one snapshot, of a log elsewhere by `read_log`. Columns as `hourly_variant_rollups`. Nothing
    is written.

    Raises:
        InputError: `as_of` is naive or not a whole hour, or an id is no UUID.
        DependencyError: the database, or a log elsewhere, cannot be reached.
    """
    if read_log is None:
        return read_frame(source, stored_and_fresh(source, as_of, experiment_ids), IDS)
    require_hours(None, as_of)
    overlaps = phase_overlaps(as_of - HOUR, as_of)
    found = _missing(source, as_of, overlaps, experiment_ids, is_elsewhere=True)
    if not found:
        return read_frame(source, _stored(as_of, overlaps, experiment_ids, _PARTLY), IDS)
    stored = read_frame(source, _stored(as_of, overlaps, experiment_ids, _WHOLLY))
    fresh = [read_log(missing.start, missing.end, missing.experiment_ids) for missing in found]
    return pd.concat([stored, _not_stored(source, fresh, stored, overlaps)], ignore_index=True)


def rollups_afresh(
    source: Source, as_of: datetime, experiment_ids: Sequence[str] | None = None, read_log: ReadLog | None = None
) -> pd.DataFrame:
    """As `rollups_as_of`, but of what the log has now, whatever was rolled up before.

    Only of days whose requests were dropped, and of imported experiments, the stored sums are read. O(requests of the
    phases).

    Raises as `rollups_as_of`.
    """
    if read_log is None:
        return read_frame(source, stored_and_fresh(source, as_of, experiment_ids, afresh=True), IDS)
    require_hours(None, as_of)
    overlaps = phase_overlaps(as_of - HOUR, as_of)
    stored = read_frame(source, _stored(as_of, overlaps, experiment_ids, _DROPPED))
    start = _first_hour(source, as_of, overlaps, experiment_ids)
    if start is None:
        return stored
    fresh = [read_log(start, as_of, experiment_ids)]
    return pd.concat([stored, _not_stored(source, fresh, stored, overlaps)], ignore_index=True)


def stored_and_fresh(
    source: Source, as_of: datetime, experiment_ids: Sequence[str] | None = None, *, afresh: bool = False
) -> sql.Composed:
    """SQL of what `rollups_as_of` (or `rollups_afresh`) reads where the log is `ai_requests`: what is missing is asked.

    Raises as `rollups_as_of`.
    """
    require_hours(None, as_of)
    overlaps = phase_overlaps(as_of - HOUR, as_of)
    if afresh:
        parts = [_stored(as_of, overlaps, experiment_ids, _DROPPED)]
        start = _first_hour(source, as_of, overlaps, experiment_ids)
        if start is not None:
            condition = sql.SQL(
                "{} AND request.created_at >= coalesce((SELECT before FROM dropped_requests), '-infinity')"
            ).format(ids_filter(sql.SQL("request.experiment_id"), experiment_ids))
            known = sql.SQL("SELECT * FROM ({}) AS known WHERE hour = '-infinity'").format(
                known_user_hours(_MET, start)
            )
            parts += _aggregated(start, as_of, overlaps, condition, known)
        return sql.SQL(" UNION ALL ").join(parts)
    parts = [_stored(as_of, overlaps, experiment_ids, _PARTLY)]
    for missing in _missing(source, as_of, overlaps, experiment_ids, is_elsewhere=False):
        known = known_user_hours(_MET, missing.start)
        parts += _aggregated(missing.start, as_of, overlaps, _unrolled(missing), known)
    return sql.SQL(" UNION ALL ").join(parts)


def _missing(
    source: Source,
    as_of: datetime,
    overlaps: sql.Composable,
    experiment_ids: Sequence[str] | None,
    *,
    is_elsewhere: bool,
) -> list[Missing]:
    wanted = sql.SQL("{} AND {}").format(overlaps, ids_filter(sql.SQL("phase.experiment_id"), experiment_ids))
    return _at_most_two(uncovered(source, as_of, wanted, is_elsewhere=is_elsewhere), as_of)


def _first_hour(
    source: Source, as_of: datetime, overlaps: sql.Composable, experiment_ids: Sequence[str] | None
) -> datetime | None:
    """The first hour of the wanted phases whose requests were not dropped; None: there is no phase of the log."""
    found = read_frame(
        source,
        _SQL["first_hour"].format(
            first=hour_of(
                sql.SQL("min(greatest(phase.started_at, (SELECT before FROM dropped_requests), {}))").format(
                    time_literal(as_of - LONGEST_PHASE)
                )
            ),
            overlaps=overlaps,
            wanted=ids_filter(sql.SQL("phase.experiment_id"), experiment_ids),
        ),
    )["hour"]
    return None if found.isna().all() or found.iloc[0] >= as_of else found.iloc[0].to_pydatetime()


_DROPPED = sql.SQL("rollup.hour < (SELECT before FROM dropped_requests)")
_NO_COUNTS = rendered(
    sql.SQL(", ").join(
        [
            *(sql.SQL("0::bigint AS {}").format(sql.Identifier(name)) for name in COUNTS),
            *(sql.SQL("0::float8 AS {}").format(sql.Identifier(name)) for name in SUMS),
        ]
    )
)
_OF_MOMENTS = rendered(identifiers(tuple(MOMENTS), "moments"))
_MET = sql.SQL("(SELECT DISTINCT phase_id, user_id FROM unseen)")


_PARTLY = sql.SQL("known.covered && tstzrange(rollup.hour, rollup.hour + interval '1 hour')")
_WHOLLY = sql.SQL(
    """known.covered @> tstzrange(greatest(rollup.hour, phase.started_at),
        least(rollup.hour + interval '1 hour', coalesce(phase.ended_at, 'infinity')))"""
)


def _not_stored(
    source: Source, fresh: Sequence[pd.DataFrame], stored: pd.DataFrame, overlaps: sql.Composable
) -> pd.DataFrame:
    """The rows of hours and phases that are not in the rollups, of phases of the last hour."""
    frame = pd.concat([part.astype(dict.fromkeys(IDS, "str")) for part in fresh], ignore_index=True)
    phases = read_frame(
        source, sql.SQL("SELECT phase.id::text AS id FROM ab_experiment_phases AS phase WHERE {}").format(overlaps)
    )["id"]
    known = pd.MultiIndex.from_frame(stored[["hour", "phase_id"]])
    mine = pd.MultiIndex.from_frame(frame[["hour", "phase_id"]])
    return frame[~mine.isin(known) & frame["phase_id"].isin(phases)]


def _at_most_two(found: Sequence[Missing], as_of: datetime) -> list[Missing]:
    """Experiments that lack many hours, and those that only lack their newest: two scans, whatever their number."""
    recent_since = as_of - RECENT
    older = _together([missing for missing in found if missing.start < recent_since])
    # One that lacks hours of both kinds is read with the older ones, from its first.
    recent = _together([missing for missing in found if missing.start >= recent_since], without=older)
    return older + recent


def _together(found: Sequence[Missing], without: Sequence[Missing] = ()) -> list[Missing]:
    """What several experiments lack as one window of all; nothing where there are none."""
    if not found:
        return []
    left_out = {key for missing in without for key in missing.experiment_ids}
    ids = {key for missing in found for key in missing.experiment_ids} - left_out
    start, end = min(missing.start for missing in found), max(missing.end for missing in found)
    return [Missing(start, end, tuple(sorted(ids)))]


def _stored(
    as_of: datetime, overlaps: sql.Composable, experiment_ids: Sequence[str] | None, is_covered: sql.Composable
) -> sql.Composed:
    return _SQL["stored_sums"].format(
        columns=stored_columns("rollup"),
        as_of=time_literal(as_of),
        overlaps=overlaps,
        wanted=ids_filter(sql.SQL("rollup.experiment_id"), experiment_ids),
        is_covered=is_covered,
    )


def _aggregated(
    start: datetime, as_of: datetime, overlaps: sql.Composable, condition: sql.Composable, known: sql.Composable
) -> list[sql.Composed]:
    """The sums of requests since `start`, and what they add to user-level moments.

    Args:
        condition: on `request` and its `arms`.
        known: the user hours that are summed up already.
    """
    sums = _SQL["fresh_sums"].format(
        columns=as_columns("rollup"), aggregation=aggregation(start, as_of, condition), overlaps=overlaps
    )
    return [sums, _moments(start, as_of, overlaps, condition, known)]


def _unrolled(missing: Missing) -> sql.Composed:
    """A condition on `request`: it is in no rollup, and was not dropped."""
    return sql.SQL(
        "{} AND NOT arms.covered @> request.created_at"
        " AND request.created_at >= coalesce((SELECT before FROM dropped_requests), '-infinity')"
    ).format(ids_filter(sql.SQL("request.experiment_id"), missing.experiment_ids))


def _moments(
    start: datetime, as_of: datetime, overlaps: sql.Composable, condition: sql.Composable, known: sql.Composable
) -> sql.Composed:
    """What requests add to the user-level moments, of later hours too: rows that only have these sums."""
    window = sql.SQL("request.created_at >= {} AND request.created_at < {} AND {}").format(
        time_literal(start), time_literal(as_of), condition
    )
    both = sql.SQL("SELECT {} FROM ({}) AS known UNION ALL SELECT {} FROM unseen").format(USER_HOUR, known, USER_HOUR)
    return _SQL["fresh_moments"].format(
        unseen=user_hours(start, as_of, window),
        counts=_NO_COUNTS,
        moments=_OF_MOMENTS,
        difference=difference(known, both),
        as_of=time_literal(as_of),
        overlaps=overlaps,
    )
