"""What a request asked for and did not get, in values and words."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python

from promotion_pipeline.config.precedence import Overruled
from promotion_pipeline.promotion.record.models import OverruledThreshold


def overruled_threshold(over: Overruled) -> OverruledThreshold:
    """A threshold of the request that the experiment's own overruled, as it is answered."""
    name = to_camel(over.threshold)
    said = f"{name}={_short(over.asked)} of the request "
    if over.is_stricter:
        said += f"does not loosen the experiment's own {_short(over.used)}"
    else:
        said += f"is not used: it stays as the experiment has it, {_short(over.used)}"
    asked, used = (to_jsonable_python(value) for value in (over.asked, over.used))
    return OverruledThreshold(threshold=name, asked=asked, used=used, message=said)


def _short(value: Any) -> str:
    """A threshold in a sentence; of metrics the names, which is what tells two lists apart."""
    if isinstance(value, tuple | list):
        value = [item.name if isinstance(item, BaseModel) and hasattr(item, "name") else item for item in value]
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)
