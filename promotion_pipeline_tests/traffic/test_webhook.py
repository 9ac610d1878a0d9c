"""A system of the team's own is told the split, signed, and says what it serves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.errors import TargetError
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline.traffic.targets.webhook import signing_key
from promotion_pipeline_tests.traffic.delivering import once_more, seed
from promotion_pipeline_tests.traffic.provider import SECRET, Answer, Provider


def test_a_webhook_is_told_and_read_back(served: Store, provider: Provider) -> None:
    seeded = seed(served, {"kind": "webhook", "url": f"{provider.url}/split", "read_url": f"{provider.url}/split"})
    promote_winner("x", "manual", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.served == {"control": 0.0, "treatment": 100.0}
    rollback_promotion("x", "worse", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.served == {"control": 50.0, "treatment": 50.0}
    told = json.loads(provider.writes[-1].body)["data"]
    assert told["before"] == {"control": 0.0, "treatment": 100.0}
    assert told["restore"] == {"split": {"control": 50.0, "treatment": 50.0}}


def test_without_a_read_url_the_answer_counts(served: Store, provider: Provider) -> None:
    seeded = seed(served, {"kind": "webhook", "url": f"{provider.url}/split"})
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(body=b"{}", arrives=True)]
    delivery = once_more(served, seeded)
    assert delivery.state is TrafficState.PENDING
    assert "does not say what it serves" in (delivery.error or "")
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert [asked.method for asked in provider.asked] == ["POST", "POST"]


def test_every_attempt_is_signed_and_has_the_same_id(served: Store, provider: Provider) -> None:
    seeded = seed(served, {"kind": "webhook", "url": f"{provider.url}/split"})
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(503)]
    for _ in range(2):
        once_more(served, seeded)
    first, second = ({name.lower(): value for name, value in one.headers.items()} for one in provider.writes)
    assert first["webhook-id"] == second["webhook-id"]
    signed = f"{second['webhook-id']}.{second['webhook-timestamp']}.".encode() + provider.writes[1].body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert second["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "not base64!", ""])
def test_a_weak_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(TargetError) as raised:
        signing_key(secret)
    assert secret == "" or secret not in str(raised.value)
