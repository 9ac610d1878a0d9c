"""The base of what the functions of this layer return; JSON names are camelCase."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel


def _finite_or_none(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A number that may not be computable: None, never NaN, so that JSON can carry it."""


class Result(BaseModel):
    """Base of what this layer returns: frozen, camelCase in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    def to_json(self) -> dict[str, Any]:
        """JSON values by camelCase names: the `data` of the HTTP API and of `--json`."""
        return self.model_dump(mode="json", by_alias=True)
