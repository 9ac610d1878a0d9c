"""Unleash: the weights of one strategy's variants, through its admin API.

Its API takes the last write, whatever was there. A JSON patch that begins with a test narrows that to the moment in
which Unleash itself applies it, and names nothing but the variants: constraints, segments, parameters, other strategies
and other environments are not in the request.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from promotion_pipeline.errors import TargetError
from promotion_pipeline.traffic.targets.configured import UnleashTarget
from promotion_pipeline.traffic.targets.exchange import Exchange
from promotion_pipeline.traffic.targets.port import NamedSplit, Seen, agrees, in_units

UNITS = 1000
"""Unleash counts weights in thousandths."""
_A_PERCENT = Decimal(UNITS) / 100
_WEIGHTS = ("weight", "weightType")


class Unleash:
    """One strategy of one flag in one environment."""

    unit = 1 / _A_PERCENT

    def __init__(self, configured: UnleashTarget, names: Sequence[str], url: str, token: str) -> None:
        self._configured = configured
        self._theirs = {name: configured.variants.get(name, name) for name in names}
        self._base = url.rstrip("/").removesuffix("/api")
        place = [quote(part, safe="") for part in (configured.project, configured.feature, configured.environment)]
        self._strategies = "{}/api/admin/projects/{}/features/{}/environments/{}/strategies".format(self._base, *place)
        self._exchange = Exchange("Unleash", {"Authorization": token, "Content-Type": "application/json"})

    def describe(self) -> str:
        """Feature, environment and project."""
        at = self._configured
        return f"the flag {at.feature!r} of the Unleash project {at.project!r}, environment {at.environment!r}"

    def read(self) -> Seen:
        """The strategy and its variants' shares."""
        whole = self._strategy(self._exchange.json("GET", self._strategies))
        ours = {theirs: name for name, theirs in self._theirs.items()}
        split = {
            ours.get(variant["name"], variant["name"]): Decimal(variant["weight"]) / _A_PERCENT
            for variant in whole["variants"]
        }
        return Seen(split, whole)

    def write(self, seen: Seen | None, split: NamedSplit, *, like: Any = None) -> Seen | None:
        """Replace the variants by themselves with other weights, if they are still those that were seen."""
        assert seen is not None
        before = seen.whole["variants"]
        patch = [
            {"op": "test", "path": "/variants", "value": before},
            {"op": "replace", "path": "/variants", "value": self._weighted(before, split, like)},
        ]
        url = f"{self._strategies}/{quote(seen.whole['id'], safe='')}"
        self._exchange.json("PATCH", url, content=json.dumps(patch).encode())
        return None

    def changed_by(self) -> str | None:
        """The author of the newest update of a strategy of the flag in this environment, by Unleash's event log."""
        try:
            answer = self._exchange.json(
                "GET", f"{self._base}/api/admin/events/{quote(self._configured.feature, safe='')}"
            )
            updates = [
                event
                for event in answer["events"]
                if event["type"] == "feature-strategy-update"
                and event.get("environment") == self._configured.environment
            ]
            return str(max(updates, key=lambda event: event["id"])["createdBy"]) if updates else None
        except (TargetError, KeyError, TypeError, ValueError):
            return None

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _strategy(self, strategies: object) -> dict[str, Any]:
        """The strategy that is meant, of those of the environment."""
        wanted = self._configured.strategy_id
        try:
            found: list[dict[str, Any]] = [one for one in strategies if wanted in (None, one["id"])]  # type: ignore[attr-defined]
            is_sound = all(type(v["weight"]) is int and v["name"] for one in found for v in one.get("variants") or [])
        except (TypeError, KeyError):
            is_sound = False
        if not is_sound:
            raise TargetError("Unleash answered no list of strategies: is its version supported?", needs_a_person=True)
        if len(found) != 1:
            ids = ", ".join(one["id"] for one in found)
            said = (
                f"has several strategies ({ids}): name one as strategy_id"
                if found
                else (f"has no strategy {wanted}" if wanted else "has no strategy")
            )
            raise TargetError(f"{self.describe()} {said}", needs_a_person=True)
        if not found[0].get("variants"):
            raise TargetError(f"{self.describe()}: its strategy has no variants", needs_a_person=True)
        return found[0]

    def _weighted(self, variants: list[dict[str, Any]], split: NamedSplit, like: Any) -> list[dict[str, Any]]:
        """The variants with other weights and nothing else changed.

        Unleash wants a variable variant, and gives each of them an equal part of what the fixed ones leave. So one
        stays variable: it gets exactly the rest, which is its weight.
        """
        restored = self._as_before(variants, split, like)
        if restored is not None:
            return restored
        weights = in_units({self._theirs.get(name, name): share for name, share in split.items()}, UNITS)
        lacking = sorted(
            name for name, weight in weights.items() if weight and name not in {v["name"] for v in variants}
        )
        if lacking:
            raise TargetError(
                f"{self.describe()} has no variant {', '.join(map(repr, lacking))}: add it with weight 0, or name"
                " theirs under variants in traffic_target",
                needs_a_person=True,
            )
        free = max(variants, key=lambda v: (v.get("weightType") == "variable", v["weight"], v["name"]))["name"]
        weighted = copy.deepcopy(variants)
        for variant in weighted:
            variant["weight"] = weights.get(variant["name"], 0)
            variant["weightType"] = "variable" if variant["name"] == free else "fix"
        return weighted

    def _as_before(self, variants: list[dict[str, Any]], split: NamedSplit, like: Any) -> list[dict[str, Any]] | None:
        """The variants with the very weights of an object of before; None where those do not give the split."""
        try:
            earlier = {variant["name"]: {key: variant[key] for key in _WEIGHTS} for variant in like["variants"]}
        except (TypeError, KeyError):
            return None
        theirs = {self._theirs.get(name, name): share for name, share in split.items()}
        gave = {name: Decimal(known["weight"]) / _A_PERCENT for name, known in earlier.items()}
        if earlier.keys() != {variant["name"] for variant in variants} or not agrees(gave, theirs, self.unit):
            return None
        return [{**variant, **earlier[variant["name"]]} for variant in variants]
