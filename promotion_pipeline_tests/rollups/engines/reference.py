"""The sums of a log straight from its rows: no SQL, every hour computed from the beginning."""

from __future__ import annotations

import functools
import math
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation.clusters import POWER_SUM
from promotion_pipeline.rollups.rollup_columns import IDS, ROLLUP_COLUMNS

HOUR = timedelta(hours=1)
EXACT = (
    "requests",
    "conversions",
    "errors",
    "latency_samples",
    "user_requests",
    "user_conversions",
    "new_users",
    "user_conversions_sum_squares",
    "user_requests_sum_squares",
    "user_conversions_requests_sum_products",
    "crossed_users",
    "crossed_requests",
)
CLOSE = (
    "latency_ms_sum",
    "latency_ms_sum_squares",
    "value_sum",
    "value_sum_squares",
    "user_value_sum_squares",
    "user_value_requests_sum_products",
    POWER_SUM,
)
RELATIVE = 1e-12


def expected(log: pd.DataFrame, phases: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    """What the rollup of [start, end) must be; `log` as `logs.requests` gives it, missing numbers as NaN."""
    log = log.assign(user_id=log["user_id"].where(log["user_id"].str.strip() != "", None))
    matched = log.merge(phases, on=["experiment_id", "variant_id"])
    before_end = matched["ended_at"].isna() | (matched["created_at"] < matched["ended_at"])
    inside = (matched["created_at"] >= matched["started_at"]) & before_end
    matched = matched[inside & (matched["created_at"] < end)]
    matched = matched.assign(
        hour=matched["created_at"].dt.floor("h"),
        latency=matched["latency_ms"].where((matched["latency_ms"] >= 0) & (matched["latency_ms"] < 1e100)),
        amount=matched["value"].where(matched["value"].abs() < 1e100),
    )
    rows = []
    phases_of = {str(phase_id): own for phase_id, own in matched.groupby("phase_id")}

    @functools.cache
    def moments(phase_id: str, before: datetime) -> dict[str, dict[str, float]]:
        return _moments(phases_of[phase_id], before)

    window = matched[matched["created_at"] >= start]
    for key, group in window.groupby(["hour", "phase_id"]):
        hour, phase_id = cast(tuple[datetime, str], key)
        # The end of an hour is the beginning of the next.
        before, after = moments(phase_id, hour), moments(phase_id, hour + HOUR)
        for variant_id, own in ((str(name), part) for name, part in group.groupby("variant_id")):
            was = before.get(variant_id, dict.fromkeys(after[variant_id], 0))
            # Powers are whole numbers too large for a float: their difference is exact before it is one.
            increments = {name: value - was[name] for name, value in after[variant_id].items()}
            increments[POWER_SUM] = float(increments[POWER_SUM])
            rows.append(
                {
                    "hour": hour,
                    "experiment_id": own["experiment_id"].iloc[0],
                    "phase_id": phase_id,
                    "variant_id": variant_id,
                    **_sums(own),
                    **increments,
                }
            )
    return pd.DataFrame(rows)[list(ROLLUP_COLUMNS)].sort_values(["hour", "phase_id", "variant_id"], ignore_index=True)


def _sums(own: pd.DataFrame) -> dict[str, object]:
    latency, amount, known = own["latency"].dropna(), own["amount"].dropna(), own["user_id"].notna()
    return {
        "requests": len(own),
        "conversions": int(own["converted"].sum()),
        "errors": int(own["is_error"].sum()),
        "latency_samples": len(latency),
        "user_requests": int(known.sum()),
        "user_conversions": int((known & own["converted"]).sum()),
        "latency_ms_sum": math.fsum(latency),
        "latency_ms_sum_squares": math.fsum(latency**2),
        "value_sum": math.fsum(amount),
        "value_sum_squares": math.fsum(amount**2),
        "newest_request_at": own["created_at"].max(),
    }


def _moments(phase: pd.DataFrame, end: datetime) -> dict[str, dict[str, float]]:
    """The cumulative user-level sums of each variant, over everything before `end`."""
    seen = phase[(phase["created_at"] < end) & phase["user_id"].notna()]
    users = seen.groupby(["variant_id", "user_id"]).agg(
        d=("converted", "size"), y=("converted", "sum"), v=("amount", "sum"), first=("hour", "min")
    )
    order = users.reset_index().sort_values(["first", "variant_id"]).groupby("user_id").cumcount()
    users["crossed"] = np.asarray(order.reindex(np.arange(len(users))) > 0)
    crossed_requests = _crossed_requests(seen)
    found = {}
    for variant_id, own in users.groupby(level="variant_id"):
        found[str(variant_id)] = {
            "new_users": len(own),
            "user_conversions_sum_squares": int((own["y"] ** 2).sum()),
            "user_requests_sum_squares": int((own["d"] ** 2).sum()),
            "user_conversions_requests_sum_products": int((own["y"] * own["d"]).sum()),
            "crossed_users": int(own["crossed"].sum()),
            "crossed_requests": crossed_requests.get(variant_id, 0),
            "user_value_sum_squares": math.fsum(own["v"] ** 2),
            "user_value_requests_sum_products": math.fsum(own["v"] * own["d"]),
            POWER_SUM: sum(int(requests) ** 16 for requests in own["d"]),
        }
    return {variant_id: found.get(variant_id, dict.fromkeys(next(iter(found.values())), 0)) for variant_id in found}


def _crossed_requests(seen: pd.DataFrame) -> dict[object, int]:
    """Requests of users who met several variants, beside the variant of the hour; all before the second beside that."""
    found: dict[object, int] = {}
    for _, own in seen.groupby("user_id"):
        met: set[object] = set()
        so_far = 0
        steps = own.groupby(["hour", "variant_id"], as_index=False).size()
        for variant, count in zip(steps["variant_id"], steps["size"], strict=True):
            before, so_far = len(met), so_far + int(count)
            met.add(variant)
            if len(met) > 1:
                found[variant] = found.get(variant, 0) + (so_far if before == 1 else int(count))
    return found


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame, *, relative: float = RELATIVE) -> None:
    """Keys, whole numbers and newest times are equal, and the doubles within `relative` of what was added up."""
    keys = ["hour", *IDS]
    plain = found.astype(dict.fromkeys(IDS, "str")).sort_values(["hour", "phase_id", "variant_id"], ignore_index=True)
    assert plain[keys].to_dict("list") == wanted[keys].astype(dict.fromkeys(IDS, "str")).to_dict("list")
    for name in EXACT:
        assert plain[name].tolist() == wanted[name].tolist(), name
    assert plain["newest_request_at"].tolist() == wanted["newest_request_at"].tolist()
    for name in CLOSE:
        np.testing.assert_allclose(plain[name], wanted[name], rtol=relative, atol=0.0, err_msg=name)
