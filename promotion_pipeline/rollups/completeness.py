"""Is an experiment judged on all its data: the requests of its phase in the log against those in its sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.evaluation.hours import HOUR_US
from promotion_pipeline.evaluation.tables import Words
from promotion_pipeline.rollups.coverage import RUNNING
from promotion_pipeline.rollups.landing import Landing, landed
from promotion_pipeline.rollups.log import RequestLog, Span
from promotion_pipeline.rollups.log_gaps import gap_sentence, log_gaps
from promotion_pipeline.rollups.metrics.unnoted import UnnotedEvents, note_unnoted_events, unnoted_events
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.arrays import coded, numbers, times_us, us_of
from promotion_pipeline.store.bulk import read_table, time_literal
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


@dataclass(frozen=True)
class Completeness:
    """One phase's requests before an as-of, in the log and in the sums that it is judged on."""

    experiment_id: UUID
    since: datetime
    until: datetime
    in_log: int
    """Requests of known variants, since the newest day whose requests were dropped."""
    in_sums: int
    """The same of the sums."""
    log: str
    """What the log is called."""
    was_dropped_unread: bool = False
    """Requests of the phase were dropped before they were summed up."""
    gap: str | None = None
    """What of the phase the log has lost or cannot give, in words."""
    awaited: Landing | None = None
    """No request at all of the newest hour has landed yet, it is not too old to wait for, and nobody decided it."""
    events: UnnotedEvents | None = None
    """Events of its metrics that differ from their sums, though nothing says that they changed."""

    @property
    def is_complete(self) -> bool:
        """Whether the sums are those of the log."""
        is_whole = self.gap is None and self.awaited is None and self.events is None
        return self.in_log == self.in_sums and not self.was_dropped_unread and is_whole

    @property
    def is_repairable(self) -> bool:
        """Whether reading the log again brings the sums in line: what the log has lost does not come back by that."""
        return self.in_log > self.in_sums

    @property
    def sentence(self) -> str:
        """Both numbers in words."""
        if self.was_dropped_unread:
            return f"requests of this phase were dropped from {self.log} before they were summed up"
        if self.gap is not None:
            return f"it is judged on a part of its data: {self.gap}"
        difference = self.in_log - self.in_sums
        if self.events is not None and difference == 0:
            return f"it is judged on a part of its data: {self.events.sentence}"
        if self.awaited is not None and difference == 0:
            return f"{self.awaited.sentence}: it is decided when its data is there"
        said = "are not summed up yet: the next hourly run does" if difference > 0 else "are gone from the log"
        return (
            f"it is judged on a part of its data: {self.in_log:,} requests of this phase are in {self.log},"
            f" {self.in_sums:,} in its sums; {abs(difference):,} {said}"
        )


@dataclass(frozen=True)
class PhaseRequests:
    """The requests of phases by hour, each array (rows,)."""

    phase_id: Words
    hour_us: NDArray[np.int64]
    requests: NDArray[np.int64]

    def between(self, phase_id: str, since_us: int, until_us: int) -> int:
        """The requests of one phase in the hours of [since, until), microseconds of UTC."""
        mine = self.phase_id.is_in([phase_id]) & (self.hour_us >= since_us) & (self.hour_us < until_us)
        return int(self.requests[mine].sum())


def completeness(
    store: Store, connection: Connection, phase_ids: Sequence[UUID], sums: PhaseRequests, until: datetime
) -> dict[UUID, Completeness]:
    """Compare phases' requests before `until` with the sums that they are judged on, by phase.

    Asked under an experiment's lock it is the last word before an act. Counts the requests of these phases, and no
    others.

    Args:
        sums: what these phases are judged on.

    Raises:
        ConfigError: a column of the log is missing.
        DependencyError: the database or the log cannot be reached.
    """
    bounds = connection.execute(_SQL["bounds"], {"ids": list(phase_ids), "until": until}).fetchall()
    spans = [Span(str(row["id"]), row["experiment_id"], row["since"], until) for row in bounds if row["since"] < until]
    with open_log(store) as log:
        counted: Mapping[str, int] = log.counts(spans) if spans else {}
        name = log.name
        gaps = _gaps(connection, log, spans)
    landing = landed(store, until, database_now(connection))
    awaited = landing if landing.end < until else None
    events = unnoted_events(connection, store.settings.user_id_keys, phase_ids, until)
    found = {}
    for row in bounds:
        first_us = us_of(row["since"]) // HOUR_US * HOUR_US
        in_sums = sums.between(str(row["id"]), first_us, us_of(until))
        in_log = counted.get(str(row["id"]), 0)
        found[row["id"]] = Completeness(
            experiment_id=row["experiment_id"],
            since=row["since"],
            until=until,
            in_log=in_log,
            in_sums=in_sums,
            log=name,
            was_dropped_unread=bool(row["was_dropped_unread"]),
            awaited=awaited if row["is_awaited"] else None,
            gap=gaps.get(row["experiment_id"]),
            events=events.get(row["id"]),
        )
    return found


def _gaps(connection: Connection, log: RequestLog, spans: Sequence[Span]) -> dict[UUID, str]:
    """What the log has lost of these experiments, or cannot give, in words."""
    if not spans:
        return {}
    found = {gap.experiment_id: gap_sentence(gap) for gap in log_gaps(connection, [one.experiment_id for one in spans])}
    broken = log.unreadable(min(span.since for span in spans), max(span.until for span in spans))
    for span in spans:
        for part in broken:
            if part.since < span.until and part.until >= span.since:
                found[span.experiment_id] = f"{part.name} cannot be read ({part.why}): repair or remove the file"
    return found


def incomplete_phases(store: Store, connection: Connection, until: datetime) -> list[Completeness]:
    """The running phases whose stored sums before `until` are not those of the log, the largest difference first.

    O(requests of the running phases).

    Raises as `completeness`.
    """
    stored = read_table(connection, _SQL["stored_requests"].format(until=time_literal(until), running=RUNNING))
    phases = Words(*coded(stored["phase_id"]))
    sums = PhaseRequests(phases, times_us(stored["hour"]), numbers(stored["requests"]))
    found = completeness(store, connection, [UUID(key) for key in phases.tolist()], sums, until)
    partly = [one for one in found.values() if one.in_log != one.in_sums or one.was_dropped_unread or one.events]
    return sorted(partly, key=lambda one: -abs(one.in_log - one.in_sums))


def repaired(store: Store, found: Completeness | None) -> bool:
    """Read a phase's requests again where the log has more of them than the sums; whether that was done.

    Reads the requests of this experiment alone. Two at once do it one after the other. Events that no trigger saw are
    noted, and counted by the next hourly run.

    Raises:
        ConfigError: a column of the log is missing.
        DependencyError: the database or the log cannot be reached.
    """
    if found is not None and found.events is not None and found.events.is_repairable:
        note_unnoted_events(store, found.experiment_id, found.until)
    if found is None or not found.is_repairable:
        return False
    first = found.since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with open_log(store) as log:
        log.roll_up(first, found.until, [str(found.experiment_id)])
    return True
