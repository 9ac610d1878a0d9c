"""A provider that answers, and a store that knows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.traffic.provider import SECRET, TOKEN, Provider, provider_at_work


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider at work."""
    with provider_at_work() as at_work:
        yield at_work


@pytest.fixture
def served(store: Store, provider: Provider) -> Store:
    """The store with the provider in its settings."""
    known = {
        "unleash_url": provider.url,
        "unleash_token": SecretStr(TOKEN),
        "traffic_webhook_secret": SecretStr(SECRET),
    }
    return Store(store.url, store.settings.model_copy(update=known))
