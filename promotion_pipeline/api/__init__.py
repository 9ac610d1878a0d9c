"""The HTTP door: FastAPI over the functions of `promotion_pipeline.promotion`.

Not here: rules and queries about experiments; a route reads, calls one function of `promotion`, answers.
"""

from __future__ import annotations

from promotion_pipeline.api.app import create_app
from promotion_pipeline.api.serve import serve

__all__ = ["create_app", "serve"]
