"""The figures of a campaign, and how a database is held against them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.faults.acts import Acknowledged
from promotion_pipeline_tests.faults.invariants import State, doubled, read_states, violations


@dataclass
class Tally:
    """What one part of the campaign did and found."""

    part: str
    unit: str
    """What is counted in `done`."""
    done: int = 0
    extra: Counter[str] = field(default_factory=Counter)
    """Other counts, by what they count."""
    inconsistent: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """Answers that are neither a success nor a clear refusal, and faults that were not injected."""
    checked: int = 0
    """States of experiments that were held against the rules."""
    ledger: set[Acknowledged] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not (self.inconsistent or self.doubles or self.lost or self.unexpected)

    def finish(self) -> Tally:
        """Stop the clock."""
        self.seconds = time.monotonic() - self.started
        return self

    def note(self, answers: Iterable[Acknowledged]) -> None:
        """Keep what was acknowledged: it must be found from now on."""
        self.ledger.update(answers)

    def attempt(self, what: str, act: Callable[[], Iterable[Acknowledged]]) -> None:
        """Act and keep what was acknowledged; an error that nobody expects is a finding, not the end."""
        try:
            self.note(act())
        except Exception as error:
            self.unexpected.append(f"{what}: {type(error).__name__}: {error}")

    def check(
        self,
        store: Store,
        ids: Sequence[UUID] | None = None,
        *,
        when: str,
        effect: Mapping[Action, int] | None = None,
    ) -> list[State]:
        """Hold experiments (None: all) against every rule, the ledger, and the effect that they must have."""
        # Before the snapshot: what is acknowledged meanwhile need not be in it.
        ledger = self.ledger.copy()
        with store.connect() as connection:
            states = read_states(connection, ids)
        by_experiment: dict[UUID, list[Acknowledged]] = {}
        for answer in ledger:
            by_experiment.setdefault(answer.experiment_id, []).append(answer)
        for state in states:
            self.checked += 1
            self.inconsistent += [f"{when}: {found}" for found in violations(state)]
            self.doubles += [f"{when}: {found}" for found in doubled(state)]
            self.lost += [f"{when}: {found}" for found in _lost(state, by_experiment.get(state.experiment["id"], ()))]
            if effect is not None:
                self._hold_against(state, effect, when)
        return states

    def _hold_against(self, state: State, effect: Mapping[Action, int], when: str) -> None:
        acts = state.acts()
        for action in {*acts, *effect}:
            found, wanted = acts[action], effect.get(Action(action), 0)
            text = f"{when}: {state.name}: {action} x {found} instead of {wanted}"
            if found > wanted:
                self.doubles.append(text)
            elif found < wanted:
                self.inconsistent.append(text)

    def lines(self) -> list[str]:
        """What was found, one line each."""
        named = {
            "inconsistent": self.inconsistent,
            "done twice": self.doubles,
            "acknowledged and lost": self.lost,
            "unexpected": self.unexpected,
        }
        return [f"  {self.part}: {kind}: {text}" for kind, found in named.items() for text in found]


def _lost(state: State, answers: Collection[Acknowledged]) -> list[str]:
    """What somebody was told is done, and the audit does not hold."""
    return [
        f"{state.name}: {answer.action.value} of {answer.promotion_id}"
        for answer in answers
        if not any(
            row["action"] == answer.action and answer.promotion_id in (None, row["promotion_id"])
            for row in state.rows["audit"]
        )
    ]


def table(tallies: Sequence[Tally], seed: int) -> str:
    """The figures of a campaign, for people."""
    head = f"{'':22}{'done':>8}{'states checked':>16}{'inconsistent':>14}{'done twice':>12}{'acknowledged, lost':>20}"
    lines = [f"fault campaign, seed {seed}", f"{head}{'seconds':>9}"]
    for tally in tallies:
        figures = (tally.inconsistent, tally.doubles, tally.lost)
        lines.append(
            f"{tally.unit:22}{tally.done:>8,}{tally.checked:>16,}{len(figures[0]):>14}{len(figures[1]):>12}"
            f"{len(figures[2]):>20}{tally.seconds:>9.0f}"
        )
        lines += [f"  {what}: {count:,}" for what, count in sorted(tally.extra.items())]
    lines.append(f"unexpected answers: {sum(len(tally.unexpected) for tally in tallies)}")
    return "\n".join(lines)
