"""A traffic webhook for GrowthBook: the split becomes the weights of the experiment's last phase.

    export WEBHOOK_SECRET=whsec_...                      # the same as AUTO_PROMOTION_TRAFFIC_WEBHOOK_SECRET
    export GROWTHBOOK_TOKEN=secret_...                   # may edit experiments
    export GROWTHBOOK_EXPERIMENTS='{"checkout": "exp_123abc"}'
    python examples/receivers/growthbook.py --port 8090

The experiment's target is then {"kind": "webhook", "url": "http://127.0.0.1:8090/", "read_url":
"http://127.0.0.1:8090/?experiment=checkout"}. Needs nothing but Python. Variants are the keys of GrowthBook's
variations, or their names. GrowthBook has no call for the weights alone: the phases go back as they were read, with
other weights in the last one (its API 5.0 takes them so), and the last write counts.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any
from urllib.parse import quote

from receiver import RefusalError, asked, receive

API = os.environ.get("GROWTHBOOK_URL", "https://api.growthbook.io/api")


class Experiment:
    """The last phase of one experiment."""

    def __init__(self, experiment: str | None) -> None:
        known = json.loads(os.environ["GROWTHBOOK_EXPERIMENTS"])
        if experiment not in known:
            raise RefusalError(404, f"GROWTHBOOK_EXPERIMENTS names no experiment for {experiment!r}")
        self._url = f"{API}/v1/experiments/{quote(known[experiment], safe='')}"
        found = self._asked("GET")["experiment"]
        self._phases: list[dict[str, Any]] = found["phases"]
        if not self._phases:
            raise RefusalError(422, "the experiment has no phase yet: start it")
        self._names = {one["variationId"]: one["key"] or one["name"] for one in found["variations"]}

    @property
    def split(self) -> dict[str, float]:
        """Variant -> percent."""
        shares = self._phases[-1]["trafficSplit"]
        return {self._names[one["variationId"]]: round(one["weight"] * 100, 2) for one in shares}

    def serve(self, split: dict[str, float]) -> None:
        """Send the phases back with other weights in the last one."""
        phases = copy.deepcopy(self._phases)
        for one in phases[-1]["trafficSplit"]:
            one["weight"] = round(split.get(self._names[one["variationId"]], 0) / 100, 4)
        self._asked("POST", {"phases": phases})

    def _asked(self, method: str, body: object = None) -> Any:
        authorization = {"Authorization": f"Bearer {os.environ['GROWTHBOOK_TOKEN']}"}
        return asked("GrowthBook", method, self._url, authorization, body)


if __name__ == "__main__":
    receive(Experiment, __doc__)
