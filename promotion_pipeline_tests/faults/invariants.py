"""What must hold in the database at any moment, whoever died: read in one snapshot, judged row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import IsolationLevel

from promotion_pipeline.store.database import Connection

Row = dict[str, Any]
TABLES = {
    "variants": "SELECT * FROM ab_variants {} ORDER BY id",
    "phases": "SELECT * FROM ab_experiment_phases {} ORDER BY started_at",
    "promotions": "SELECT * FROM experiment_promotions {} ORDER BY promoted_at, id",
    "approvals": "SELECT * FROM promotion_approvals {} ORDER BY requested_at, id",
    "audit": "SELECT * FROM promotion_audit {} ORDER BY id",
    "outbox": "SELECT * FROM notification_outbox {} ORDER BY id",
    "decisions": "SELECT experiment_id, as_of FROM eligibility_decisions {} AND label = 'record'",
}
TOLD = ("promotion:", "rollback:", "ramp_step:", "approval:", "declined:")
"""Beginnings of the keys of notifications that belong to an act of the audit."""


@dataclass(frozen=True)
class State:
    """Everything that the database holds about one experiment."""

    experiment: Row
    rows: dict[str, list[Row]]

    @property
    def name(self) -> str:
        """Of the experiment."""
        return str(self.experiment["name"])

    @property
    def live(self) -> list[Row]:
        """Promotions that govern the traffic."""
        return [row for row in self.rows["promotions"] if row["state"] in ("ramping", "promoted")]

    def acts(self) -> Counter[str]:
        """How often the audit names each act."""
        return Counter(row["action"] for row in self.rows["audit"])

    def acts_on(self, key: str, value: UUID) -> Counter[str]:
        """The acts of the audit about one promotion, or one approval."""
        found = [r for r in self.rows["audit"] if r[key] == value] if key == "promotion_id" else []
        if key == "approval_id":
            found = [r for r in self.rows["audit"] if r["details"].get(key) == str(value)]
        return Counter(row["action"] for row in found)


def read_states(connection: Connection, ids: Sequence[UUID] | None = None) -> list[State]:
    """The state of some experiments, or of all, as of one instant."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        where = "WHERE id = ANY(%(ids)s)" if ids is not None else ""
        found = connection.execute(f"SELECT * FROM ab_experiments {where} ORDER BY name", {"ids": ids}).fetchall()
        wanted = [row["id"] for row in found]
        states = {row["id"]: State(row, {name: [] for name in TABLES}) for row in found}
        for name, query in TABLES.items():
            statement = query.format("WHERE experiment_id = ANY(%(ids)s)")
            for row in connection.execute(statement, {"ids": wanted}):
                states[row["experiment_id"]].rows[name].append(row)
    connection.isolation_level = None
    return list(states.values())


def violations(state: State) -> list[str]:
    """Every rule that this state breaks, in words."""
    rules = (_traffic, _phases, _promotions, _approvals, _told)
    return [f"{state.name}: {broken}" for rule in rules for broken in rule(state)]


def doubled(state: State) -> list[str]:
    """What was done twice: promotions with no rollback between, acts of the audit that exist twice."""
    found = []
    rolled_back = sum(row["state"] == "rolled_back" for row in state.rows["promotions"])
    if len(state.live) > 1 or len(state.rows["promotions"]) - rolled_back > 1:
        found.append(f"{state.name}: {len(state.live)} live promotions")
    for promotion in state.rows["promotions"]:
        acts = state.acts_on("promotion_id", promotion["id"])
        found += [f"{state.name}: {name} x {acts[name]}" for name in ("promote", "roll_back") if acts[name] > 1]
    for approval in state.rows["approvals"]:
        acts = state.acts_on("approval_id", approval["id"])
        found += [f"{state.name}: {name} x {count}" for name, count in acts.items() if count > 1]
    return found


def _traffic(state: State) -> Iterable[str]:
    """The split sums to 100 and is what the newest act said."""
    split = {str(row["id"]): row["traffic_percentage"] for row in state.rows["variants"]}
    if sum(split.values()) != 100:
        yield f"the split sums to {sum(split.values())}"
    if len(state.live) > 1:
        yield f"{len(state.live)} live promotions"
    # Who closes a promotion leaves the experiment stopped.
    if not _is_closed(state) and state.experiment["is_active"] == bool(state.live):
        yield f"active is {state.experiment['is_active']} with {len(state.live)} live promotions"
    expected = _expected_split(state)
    if split != expected:
        yield f"the split is {split}, the records say {expected}"


def _is_closed(state: State) -> bool:
    """The newest act on the traffic was to leave it as it stood."""
    rollbacks = [row for row in state.rows["audit"] if row["action"] == "roll_back"]
    return not state.live and bool(rollbacks) and rollbacks[-1]["details"]["to"] == "close"


def _expected_split(state: State) -> dict[str, Decimal]:
    """The split that the records lead to: nothing else in the campaign changes it."""
    if state.live:
        said = state.live[0]["snapshot"]["ramp"][state.live[0]["ramp_step"]]["split"]
    elif rollbacks := [row for row in state.rows["audit"] if row["action"] == "roll_back"]:
        said = rollbacks[-1]["details"]["split"]
    else:
        said = state.rows["phases"][0]["traffic"]
    return {key: Decimal(str(share)) for key, share in said.items()}


def _phases(state: State) -> Iterable[str]:
    """One open phase that matches the traffic; a phase more for each act that changed it; no gap."""
    phases, acts = state.rows["phases"], state.acts()
    split = {str(row["id"]): float(row["traffic_percentage"]) for row in state.rows["variants"]}
    open_phases = [row for row in phases if row["ended_at"] is None]
    if len(open_phases) != 1:
        yield f"{len(open_phases)} open phases"
        return
    if open_phases[0]["traffic"] != split or open_phases[0]["is_running"] != state.experiment["is_active"]:
        yield f"the open phase says {open_phases[0]['traffic']}, the split is {split}"
    if [row["ended_at"] for row in phases[:-1]] != [row["started_at"] for row in phases[1:]]:
        yield "the phases have a gap or overlap"
    closed = sum(row["details"].get("to") == "close" for row in state.rows["audit"] if row["action"] == "roll_back")
    changes = acts["promote"] + acts["ramp"] + acts["roll_back"] - closed
    if len(phases) != 1 + changes:
        yield f"{len(phases)} phases after {changes} changes of traffic"


def _promotions(state: State) -> Iterable[str]:
    """Each record agrees with the audit, and what it decided is of record."""
    for promotion in state.rows["promotions"]:
        acts, rolled_back = state.acts_on("promotion_id", promotion["id"]), promotion["state"] == "rolled_back"
        if (acts["promote"], acts["ramp"], acts["roll_back"]) != (1, promotion["ramp_step"], int(rolled_back)):
            yield f"the record is {promotion['state']} at step {promotion['ramp_step']}, the audit says {dict(acts)}"
        last = promotion["ramp_step"] == len(promotion["snapshot"]["ramp"]) - 1
        if not rolled_back and (promotion["state"] == "promoted") != last:
            yield f"the record is {promotion['state']} at step {promotion['ramp_step']}"
        is_of_record = promotion["evaluated_as_of"] in [row["as_of"] for row in state.rows["decisions"]]
        # Where a test moved the hours, it took the decisions away.
        if state.rows["decisions"] and not is_of_record:
            yield "the decision that was acted upon is not of record"
    known = {row["id"] for row in state.rows["promotions"]}
    orphans = [r for r in state.rows["audit"] if r["promotion_id"] is not None and r["promotion_id"] not in known]
    if orphans:
        yield f"the audit names promotions that do not exist: {orphans}"
    acts = state.acts()
    newest_is_rolled_back = bool(state.rows["promotions"]) and not state.live
    if newest_is_rolled_back and not acts["release_hold"] and not state.experiment["auto_promotion_hold"]:
        yield "rolled back, and not on hold"


def _approvals(state: State) -> Iterable[str]:
    """Each request agrees with the audit and with the promotion that answers it."""
    answers = {row["id"]: row["metadata"].get("approval_id") for row in state.rows["promotions"]}
    if sum(row["state"] in ("awaiting_approval", "approved") and row["promotion_id"] is None
           for row in state.rows["approvals"]) > 1:  # fmt: skip
        yield "two open requests"
    for approval in state.rows["approvals"]:
        acts, status = state.acts_on("approval_id", approval["id"]), approval["state"]
        if acts["request_approval"] != 1 or acts["decline"] != (status == "declined"):
            yield f"the request is {status}, the audit says {dict(acts)}"
        applied = approval["promotion_id"]
        linked = [key for key, approval_id in answers.items() if approval_id == str(approval["id"])]
        if linked != ([applied] if applied is not None else []):
            yield f"the request says promotion {applied}, the promotions say {linked}"
        if status == "awaiting_approval" and state.live:
            yield "a request is open beside a live promotion"
        if status == "approved" and not acts["approve"]:
            yield "approved, and nobody said so"


def _told(state: State) -> Iterable[str]:
    """Each act told exactly what it has to tell."""
    expected = Counter(f"promotion:{row['id']}" for row in state.rows["promotions"])
    expected += Counter(f"rollback:{row['id']}" for row in state.rows["promotions"] if row["state"] == "rolled_back")
    expected += Counter(
        f"ramp_step:{row['id']}:{step}" for row in state.rows["promotions"] for step in range(1, row["ramp_step"] + 1)
    )
    expected += Counter(f"approval:{row['id']}" for row in state.rows["approvals"])
    expected += Counter(f"declined:{row['id']}" for row in state.rows["approvals"] if row["state"] == "declined")
    told = Counter(row["dedup_key"] for row in state.rows["outbox"] if row["dedup_key"].startswith(TOLD))
    if told != expected:
        yield f"told {dict(told - expected)} too much and {dict(expected - told)} not at all"
    released = sum(row["event"] == "hold_released" for row in state.rows["outbox"])
    if released != state.acts()["release_hold"]:
        yield f"{released} notifications about {state.acts()['release_hold']} lifted holds"
