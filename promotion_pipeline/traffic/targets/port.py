"""What every target can do: say what it serves, take weights, say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

NamedSplit = Mapping[str, Decimal]
"""Our variant's name -> percent of traffic."""


@dataclass(frozen=True)
class Seen:
    """What a target said that it serves."""

    split: dict[str, Decimal]
    """Our variant's name -> percent; a variant that is not there is served to nobody."""
    whole: Any
    """The whole object in JSON, weights and everything else: what the way back restores."""


class Target(Protocol):
    """One place that serves a split."""

    @property
    def unit(self) -> Decimal:
        """The finest share that it can serve, in percent."""

    def describe(self) -> str:
        """What and where it is, in words that hold no secret."""

    def read(self) -> Seen | None:
        """What it serves now; None: it cannot be asked, only the answer to a write tells.

        Raises:
            TargetError: it cannot be reached, refuses, or has not what the experiment names.
        """

    def write(self, seen: Seen | None, split: NamedSplit, *, like: Any = None) -> Seen | None:
        """Serve another split, and touch nothing but the weights.

        Args:
            seen: what was read; where the target can, it refuses if that is not so any more.
            split: percent by our variant's name.
            like: a whole object of before, whose weights are put back as they stand in it if they give the split.

        Returns:
            What the answer says is served; None: read it.

        Raises:
            TargetError: as `read`, or it cannot serve this split. The write may have arrived all the same.
        """

    def changed_by(self) -> str | None:
        """Who changed it last, if it tells; never an error."""

    def close(self) -> None:
        """Close the connections."""


def agrees(served: NamedSplit, split: NamedSplit, unit: Decimal) -> bool:
    """Whether every share is that of the split, as near as the target can serve it."""
    nothing = Decimal(0)
    return all(
        abs(served.get(name, nothing) - split.get(name, nothing)) < unit for name in served.keys() | split.keys()
    )


def in_units(split: NamedSplit, units: int) -> dict[str, int]:
    """The split in so many whole units; what is left goes to the largest remainders (ties: the first name)."""
    exact = {name: Decimal(share) * units / 100 for name, share in split.items()}
    whole = {name: int(share) for name, share in exact.items()}
    missing = units - sum(whole.values())
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[: max(missing, 0)]:
        whole[name] += 1
    return whole
