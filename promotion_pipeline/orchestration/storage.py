"""Where Dagster keeps its runs: the database that the environment names, else `dagster` beside the product's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dagster_postgres import DagsterPostgresStorage

from promotion_pipeline.orchestration.dagster_private import ConfigurableClassData
from promotion_pipeline.orchestration.process_environment import STORAGE_URL_VARIABLE


class EnvironmentStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage at AUTO_PROMOTION_DAGSTER_DATABASE_URL, made in the default place if that is unset.

    So every command of Dagster finds the instance that `promotion-pipeline dev` uses, with the same environment.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Nothing: the environment says it all."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> EnvironmentStorage:
        """The storage.

        Raises:
            ConfigError: the URL cannot be used.
            DependencyError: the database cannot be reached or made.
        """
        from promotion_pipeline.store.database import current_store, dagster_sqlalchemy_url

        given = os.environ.get(STORAGE_URL_VARIABLE, "").strip()
        url = dagster_sqlalchemy_url(given) if given else current_store().dagster_url
        return cls(inst_data=inst_data, postgres_url=url)
