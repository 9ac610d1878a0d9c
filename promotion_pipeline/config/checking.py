"""Models built of what people wrote, with errors that say what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from promotion_pipeline.config.values import shortened
from promotion_pipeline.errors import ConfigError


def suggestion(name: str, known: list[str]) -> str:
    """What to write instead of an unknown name: the nearest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


Model = TypeVar("Model", bound=BaseModel)


def validated(
    model: type[Model], values: Mapping[str, Any], source: str, names: Mapping[str, str] | None = None
) -> Model:
    """Build `model`; messages quote the value unless the field is a secret."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(model, item, source, names or {}) for item in error.errors())) from None


def _sentence(model: type[BaseModel], item: Any, source: str, names: Mapping[str, str]) -> str:
    field = str(item["loc"][0]) if item["loc"] else ""
    text = str(item["msg"]).removeprefix("Value error, ")
    annotation = str(model.model_fields[field].annotation) if field in model.model_fields else ""
    quoted = "" if "SecretStr" in annotation or not field else f"={shortened(item['input'])}"
    return f"{source}: {names.get(field, field)}{_within(item['loc'][1:])}{quoted}: {text}"


def _within(place: tuple[int | str, ...]) -> str:
    """Where inside a field of several parts, as people write it: `[0].cap`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
