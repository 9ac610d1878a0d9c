"""Property tests draw the same examples in every run: a red run is then about the change, not about luck."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("statistics", derandomize=True, deadline=None)
settings.load_profile("statistics")
