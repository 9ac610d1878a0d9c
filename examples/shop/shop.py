"""A shop whose button is tested: blue or green. It knows OpenFeature and one address, nothing else of the product.

    SHOP_URL=http://127.0.0.1:8000 SHOP_EVALUATE_TOKEN=... SHOP_INGEST_TOKEN=... python shop.py --visitors 3000

Which button a visitor sees is asked of the flag `shop-button`; every visit is reported with the variant that was
served.
`python examples/shop/run.py` sets everything up and runs this.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import requests
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook, HookContext, HookHints

FLAG, DEFAULT = "shop-button", "blue"
"""The default is the name of control: it counts while the flags cannot be asked, and once the experiment is over."""
BUYS = {"blue": 0.10, "green": 0.20}
"""What nobody in the shop knows: how many visitors buy, by the button that they see."""
BATCH = 1_000


class Exposures(Hook):
    """Hears every evaluation, and keeps whom it served what."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, str]] = {}

    def after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[str],
        hints: HookHints,  # noqa: ARG002
    ) -> None:
        """An evaluation that succeeded; one that failed served the default, which belongs to no experiment."""
        experiment = details.flag_metadata.get("experiment")
        user = hook_context.evaluation_context.targeting_key
        if experiment is not None and details.variant is not None and user is not None:
            self.seen[user] = {"experiment": str(experiment), "variant": details.variant}


class Reports:
    """Visits on their way to the log, a batch at a time; one whose answer was lost is sent again, for rows have ids."""

    def __init__(self, url: str, token: str) -> None:
        self._address = f"{url}/api/monitoring/requests"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._waiting: list[dict[str, object]] = []

    def add(self, visit: dict[str, object]) -> None:
        """Report a visit soon."""
        self._waiting.append(visit)
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Report what waits."""
        if not self._waiting:
            return
        for attempt in range(5):
            try:
                answer = self._session.post(self._address, json={"requests": self._waiting}, timeout=30)
                answer.raise_for_status()
                break
            except requests.RequestException:
                if attempt == 4:
                    raise
                time.sleep(2**attempt)
        for rejected in answer.json()["data"]["reasons"]:
            print(f"not logged: {rejected['reason']}")
        self._waiting = []


def main() -> None:
    """Serve visitors, report each, and print how many saw which button."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--visitors", type=int, default=3_000)
    arguments.add_argument("--days", type=float, default=0, help="spread the visits over this many days until now")
    given = arguments.parse_args()
    url = os.environ["SHOP_URL"]
    headers = {"Authorization": f"Bearer {os.environ['SHOP_EVALUATE_TOKEN']}"}
    api.set_provider(OFREPProvider(url, headers_factory=lambda: headers))
    exposures, reports = Exposures(), Reports(url, os.environ["SHOP_INGEST_TOKEN"])
    client = api.get_client()
    client.add_hooks([exposures])
    end = datetime.now(UTC)
    buttons: Counter[str] = Counter()
    for number in range(given.visitors):
        user, started = f"visitor-{number}", time.perf_counter()
        button = client.get_string_value(FLAG, DEFAULT, EvaluationContext(targeting_key=user))
        bought = random.Random(f"{user} {button}").random() < BUYS[button]
        buttons[button] += 1
        at = end - timedelta(days=given.days) * (1 - (number + 1) / given.visitors)
        exposure = exposures.seen.get(user)
        if exposure is not None:
            reports.add(
                {
                    **exposure,
                    "id": str(uuid5(NAMESPACE_URL, f"{user} {at.isoformat()}")),
                    "userId": user,
                    "createdAt": at.isoformat(),
                    "latencyMs": (time.perf_counter() - started) * 1_000,
                    "converted": bought,
                }
            )
    reports.flush()
    print(" ".join(f"{button}={count}" for button, count in sorted(buttons.items())))


if __name__ == "__main__":
    main()
