"""An experiment as a feature flag: a string whose value is the variant's name, in flagd's own words.

flagd hashes the flag and the user to one of 10,000 buckets, and walks along the entries of `fractional`; a variant may
stand there several times. So its rule is the list of buckets as it is, and whoever reads the definition, flagd or our
own door, gives each user the same variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from promotion_pipeline.traffic.allocation import BUCKETS, Allocation, Stretch, merged

Definition: TypeAlias = Mapping[str, Any]
"""JSON of flagd's schema."""


class FlagStanding(StrEnum):
    """Where an experiment stands, as its flag says it."""

    RUNNING = "running"
    """It runs: users are split."""
    RAMPING = "ramping"
    """Its winner gets a part of the traffic that grows."""
    PROMOTED = "promoted"
    """Its winner is served, to everybody or to all but the users held back."""
    ROLLED_BACK = "rolled_back"
    """Its promotion was undone: users are split as they were before, or all have control."""
    STOPPED = "stopped"
    """It ended without a winner: nothing is served, the application's own default counts."""


@dataclass(frozen=True)
class FlaggedExperiment:
    """An experiment that a flag serves."""

    experiment_id: UUID
    name: str
    flag: str
    started_at: datetime
    standing: FlagStanding
    variants: Mapping[str, str]
    """Variant id -> name."""
    control: str | None
    """Its name; None: there is no control, or no name that can be served."""
    allocation: Allocation
    """Of variant ids; empty: no variant has traffic."""

    @property
    def is_served(self) -> bool:
        """Whether the flag says more than the application's own default."""
        return self.standing is not FlagStanding.STOPPED and bool(self.allocation)


def standing_of(is_active: bool, promotion_state: str | None) -> FlagStanding:
    """Where an experiment stands, from its row and the state of its newest promotion that changed traffic."""
    if promotion_state == "ramping":
        return FlagStanding.RAMPING
    if promotion_state == "promoted":
        return FlagStanding.PROMOTED
    if not is_active:
        return FlagStanding.STOPPED
    return FlagStanding.ROLLED_BACK if promotion_state == "rolled_back" else FlagStanding.RUNNING


def named(allocation: Allocation, names: Mapping[str, str]) -> Allocation:
    """The same buckets with the variants' names instead of their ids; variants of one name are one."""
    return merged([Stretch(names[stretch.variant], stretch.width) for stretch in allocation])


def flag_definition(experiment: FlaggedExperiment) -> dict[str, Any]:
    """The flag as flagd reads it.

    With one variant there is no rule: everybody gets it, a user without a targeting key too. With several, who has no
    targeting key gets control.
    """
    stretches = named(experiment.allocation, experiment.variants)
    names = sorted({*experiment.variants.values()})
    default = stretches[0].variant if len(stretches) == 1 and experiment.is_served else experiment.control
    definition: dict[str, Any] = {
        "state": "ENABLED" if experiment.is_served else "DISABLED",
        "variants": {name: name for name in names},
        "defaultVariant": default if default is not None else names[0],
        "metadata": {
            "experiment": experiment.name,
            "experimentId": str(experiment.experiment_id),
            "standing": experiment.standing.value,
        },
    }
    if experiment.is_served and len(stretches) > 1:
        assert sum(stretch.width for stretch in stretches) == BUCKETS
        definition["targeting"] = {"fractional": [[stretch.variant, stretch.width] for stretch in stretches]}
    return definition


@dataclass(frozen=True)
class FlagSet:
    """Every flag that can be served, and why the others cannot."""

    experiments: Mapping[str, FlaggedExperiment]
    """Flag -> the experiment that it serves."""
    refused: Mapping[str, str]
    """Flag -> why nothing can be said of it."""

    def definition(self) -> dict[str, Any]:
        """The definition that flagd reads: the flags that can be served, by name."""
        flags = {flag: flag_definition(self.experiments[flag]) for flag in sorted(self.experiments)}
        return {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags}


def flag_set(experiments: Iterable[FlaggedExperiment]) -> FlagSet:
    """One experiment a flag: the one that is served, else the one that began last.

    A flag is used again for the next experiment once the last one has stopped. Two that are served at once are a
    mistake that no rule can mend, so neither is: the application's own default counts.
    """
    by_flag: dict[str, list[FlaggedExperiment]] = {}
    for experiment in experiments:
        by_flag.setdefault(experiment.flag, []).append(experiment)
    chosen: dict[str, FlaggedExperiment] = {}
    refused: dict[str, str] = {}
    for flag, several in by_flag.items():
        served = [experiment for experiment in several if experiment.is_served]
        if len(served) > 1:
            names = " and ".join(repr(name) for name in sorted(experiment.name for experiment in served))
            refused[flag] = f"{names} both name this flag: give one of them another flag, or end it"
            continue
        one = max(served or several, key=lambda experiment: (experiment.started_at, experiment.name))
        wrong = _unservable(one)
        if wrong is None:
            chosen[flag] = one
        else:
            refused[flag] = wrong
    return FlagSet(chosen, refused)


def _unservable(experiment: FlaggedExperiment) -> str | None:
    if not experiment.variants:
        return f"experiment {experiment.name!r} has no variants"
    if not all(experiment.variants.values()):
        return f"a variant of experiment {experiment.name!r} has no name, which is what the flag's value would be"
    return None
