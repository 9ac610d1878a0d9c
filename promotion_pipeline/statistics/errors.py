"""The one error of the statistics layer: a parameter that no data can make sense of."""

from __future__ import annotations

from promotion_pipeline.errors import InputError


class StatisticsError(InputError, ValueError):
    """A parameter is out of its bounds; the message quotes the value, the bound and the next step.

    Degenerate *data* (zero counts, zero variance, NaN) never raises: what cannot be computed is NaN.
    """
