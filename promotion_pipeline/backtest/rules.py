"""A rule under test: thresholds laid over those that an experiment was run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from promotion_pipeline.config import Evidence, PromotionConfig, layered, parse_config, parse_texts
from promotion_pipeline.decisions.experiments import overridden
from promotion_pipeline.errors import InputError

SHORTHANDS: dict[str, dict[str, Any]] = {
    "contract": {"evidence": Evidence.FIXED_HORIZON},
    "unattended": {"evidence": Evidence.ALWAYS_VALID},
}
"""Names of the two rules that are asked about most."""


@dataclass(frozen=True)
class ReplayRule:
    """A name and the thresholds that were given; what was not given is the experiment's own, else the default."""

    name: str
    given: PromotionConfig

    def with_values(self, values: Mapping[str, Any], name: str) -> ReplayRule:
        """This rule under another name, with more thresholds given."""
        return ReplayRule(name, layered(self.given, parse_config(values)))

    def on_top_of(self, weaker: PromotionConfig | None) -> ReplayRule:
        """This rule where its own thresholds win over `weaker`."""
        return ReplayRule(self.name, layered(weaker, self.given))

    def laid_over(self, experiments: pd.DataFrame) -> pd.DataFrame:
        """The experiments frame with the given thresholds in every row."""
        return overridden(experiments, self.given)


def parse_rule(text: str) -> ReplayRule:
    """A rule from `contract`, `unattended`, NAME=VALUE or several of these with commas between; later ones win.

    Raises:
        InputError: a part is none of these.
        ConfigError: a threshold is unknown or out of bounds.
    """
    values: dict[str, Any] = {}
    for part in (piece.strip() for piece in text.split(",")):
        name, separator, value = part.partition("=")
        if separator and name.strip():
            values[name] = value.strip()
        elif part in SHORTHANDS:
            values |= SHORTHANDS[part]
        else:
            raise InputError(
                f"rule {text!r}: {part!r} is neither {' nor '.join(SHORTHANDS)} nor NAME=VALUE;"
                " write for example unattended,min_improvement_percent=1"
            )
    return ReplayRule(text, parse_texts(values, source=f"rule {text!r}"))
