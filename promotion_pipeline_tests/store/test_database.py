"""Opening the store: embedded or given, and what is said when it cannot be reached."""

from __future__ import annotations

from promotion_pipeline.store import migrate
from promotion_pipeline.store.database import Store


def test_the_fixture_is_at_the_head(store: Store) -> None:
    assert migrate.current_revision(store.url) == migrate.head_revision()
    with store.connect() as connection:
        connection.execute("INSERT INTO ab_experiments (name) VALUES ('a')")
    print(store.dagster_url, store)
