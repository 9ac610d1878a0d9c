"""How runs are started: `dagster.yaml` names the class here, and the environment says which launcher it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from promotion_pipeline.chosen import Part, chosen_part, config_of_part
from promotion_pipeline.errors import ConfigError

if TYPE_CHECKING:
    from dagster._serdes import ConfigurableClassData

LAUNCHER_VARIABLE = "AUTO_PROMOTION_RUN_LAUNCHER"
DEFAULT = "default"
LAUNCHERS = {
    # A process beside the code location.
    DEFAULT: Part("dagster", "DefaultRunLauncher"),
    # A Kubernetes job for each run.
    "k8s": Part("dagster_k8s", "K8sRunLauncher", "kubernetes"),
    # The same, for runs whose steps the executor celery_k8s hands on to Celery.
    "celery_k8s": Part("dagster_celery_k8s", "CeleryK8sRunLauncher", "celery"),
    # A container for each run.
    "docker": Part("dagster_docker", "DockerRunLauncher", "docker"),
}


class EnvironmentRunLauncher(dg.DefaultRunLauncher):
    """Stands for the launcher that AUTO_PROMOTION_RUN_LAUNCHER names; no object of this class is ever made.

    `config` of `dagster.yaml` is passed on to any launcher but the default one, which takes none; what
    AUTO_PROMOTION_RUN_LAUNCHER_CONFIG says goes before it.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Anything: the launcher itself checks it."""
        return dict

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Any:
        """The launcher.

        Raises:
            ConfigError: the name is unknown, its package is not installed, or its configuration is refused.
        """
        launcher = chosen_part(LAUNCHER_VARIABLE, LAUNCHERS, DEFAULT)
        if launcher is dg.DefaultRunLauncher:
            return launcher(inst_data=inst_data)
        config = config_of_part(LAUNCHER_VARIABLE, launcher.config_type(), config_value)
        try:
            return launcher.from_config_value(inst_data, config)
        except TypeError as error:
            # The schema of celery_k8s allows more than its constructor takes, and asks for less than it needs.
            raise ConfigError(f"the configuration of {LAUNCHER_VARIABLE} is refused: {error}") from None
