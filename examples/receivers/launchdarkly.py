"""A traffic webhook for LaunchDarkly: the split becomes the weights of a flag's default rule, and nothing else changes.

    export WEBHOOK_SECRET=whsec_...                      # the same as AUTO_PROMOTION_TRAFFIC_WEBHOOK_SECRET
    export LAUNCHDARKLY_TOKEN=api-...                    # may update the flag's targeting
    export LAUNCHDARKLY_FLAGS='{"checkout": {"project": "default", "flag": "button", "environment": "production"}}'
    python examples/receivers/launchdarkly.py --port 8090

The experiment's target is then {"kind": "webhook", "url": "http://127.0.0.1:8090/", "read_url":
"http://127.0.0.1:8090/?experiment=checkout"}. Needs nothing but Python. The default rule must be a percentage rollout
that names every variation, with weight 0 where nobody gets it; variants are the variations' values, or their names.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from receiver import RefusalError, asked, receive

A_PERCENT = 1_000
"""LaunchDarkly counts weights in thousandths of a percent."""
API = os.environ.get("LAUNCHDARKLY_URL", "https://app.launchdarkly.com")


class Flag:
    """The default rule of one flag in one environment."""

    def __init__(self, experiment: str | None) -> None:
        flags = json.loads(os.environ["LAUNCHDARKLY_FLAGS"])
        if experiment not in flags:
            raise RefusalError(404, f"LAUNCHDARKLY_FLAGS names no flag for the experiment {experiment!r}")
        at = flags[experiment]
        project, flag = (quote(at[part], safe="") for part in ("project", "flag"))
        self._environment = at["environment"]
        self._url = f"{API}/api/v2/flags/{project}/{flag}"
        self._flag = self._asked("GET", f"{self._url}?env={quote(self._environment)}")
        rule = self._flag["environments"][self._environment]["fallthrough"]
        self._weights: list[dict[str, Any]] = rule.get("rollout", {}).get("variations", [])
        if len(self._weights) != len(self._flag["variations"]):
            raise RefusalError(422, "the default rule is no percentage rollout that names every variation: make it one")

    @property
    def split(self) -> dict[str, float]:
        """Variant -> percent."""
        return {self._name(one["variation"]): one["weight"] / A_PERCENT for one in self._weights}

    def serve(self, split: dict[str, float]) -> None:
        """Replace the weights, if they are still those that were read."""
        path = f"/environments/{self._environment}/fallthrough/rollout/variations"
        tests = [
            {"op": "test", "path": f"{path}/{place}/weight", "value": one["weight"]}
            for place, one in enumerate(self._weights)
        ]
        replaced = [
            {"op": "replace", "path": f"{path}/{place}/weight", "value": round(split.get(name, 0) * A_PERCENT)}
            for place, name in enumerate(self._name(one["variation"]) for one in self._weights)
        ]
        self._asked("PATCH", self._url, tests + replaced)

    def _name(self, place: int) -> str:
        variation = self._flag["variations"][place]
        return str(variation["value"] if isinstance(variation["value"], str) else variation.get("name"))

    def _asked(self, method: str, url: str, body: object = None) -> Any:
        return asked("LaunchDarkly", method, url, {"Authorization": os.environ["LAUNCHDARKLY_TOKEN"]}, body)


if __name__ == "__main__":
    receive(Flag, __doc__)
