"""What starts an hour when the data has landed: conditions on the asset that fills the log."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from promotion_pipeline.orchestration.place import Place


def conditions(place: Place) -> Mapping[str, dg.AutomationCondition[dg.AssetKey]]:
    """Of each table that an automation fills: when."""
    _ = place
    return {}


def automation_sensors(place: Place) -> list[dg.SensorDefinition]:
    """What evaluates the conditions; nothing where a schedule starts the hours."""
    _ = place
    return []
