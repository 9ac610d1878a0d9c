"""The picture of the newest hour: the forest plot of `text.forest`, in Markdown."""

from __future__ import annotations

import base64

import pandas as pd

from promotion_pipeline.text.forest import ForestArm, forest
from promotion_pipeline.text.forest_svg import forest_svg
from promotion_pipeline.text.numbers import instant_text

TITLE = "Lift over control"


def lift_plot(decisions: pd.DataFrame) -> str:
    """Markdown with a picture: each candidate's lift and its always-valid interval.

    Args:
        decisions: rows of `Evaluation.decisions` about one hour, with the experiments' `name`.
    """
    groups = decisions["verdict"].astype(object).where(~decisions["is_promotable"].astype(bool), "promotable")
    columns = zip(
        decisions["name"],
        groups,
        decisions["improvement"].astype("float64") / 100,
        decisions["lift_lower"].astype("float64"),
        decisions["lift_upper"].astype("float64"),
        strict=True,
    )
    found = forest(ForestArm(str(name), str(group), *numbers) for name, group, *numbers in columns)
    if found is None:
        return "No experiment has a lift to show yet."
    title = f"{TITLE} at {instant_text(decisions['as_of'].iloc[0])}: {found.total:,} experiments"
    picture = base64.b64encode(forest_svg(found, title).encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{picture})"
