"""The pipeline as a component of Dagster: some lines of YAML in a project that a team has.

Not here: what is in the graph; `orchestration.build` knows that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import dagster as dg

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.build import build_definitions


class PromotionPipelineScaffolder(dg.Scaffolder[Any]):
    """What `dg scaffold defs promotion_pipeline.PromotionPipelineComponent experiments` writes."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """A `defs.yaml` to fill in: the name of the folder is the prefix, the database's URL is in the environment."""
        name = request.target_path.name
        dg.scaffold_component(
            request,
            {
                "key_prefix": [name],
                "settings": {"database_url": f"{{{{ env.{name.upper().replace('-', '_')}_DATABASE_URL }}}}"},
            },
        )


@dg.scaffold_with(PromotionPipelineScaffolder)
@dataclass
class PromotionPipelineComponent(dg.Component, dg.Resolvable):
    """Decides A/B experiments every hour and promotes the winner.

    A graph from the log of requests to the promotions: hourly sums, metrics, significance, decisions, the watch over
    what was promoted; with the jobs to act by hand, checks, and alarms about its own runs. Several of them live in one
    deployment, each with a prefix and a database of its own.
    """

    key_prefix: Annotated[
        list[str] | None,
        dg.Resolver.default(
            description="Prefix of the assets' keys. Jobs, sensors, schedules, pools, resources, ops and tags get it"
            " too, so that two pipelines live in one deployment. None: names as they are in a deployment of its own.",
            examples=[["experiments"], ["growth", "experiments"]],
        ),
    ] = None
    upstream: Annotated[
        str | None,
        dg.Resolver.default(
            description="Key of the asset that fills the log of the requests, its parts joined by slashes. None: an"
            " external asset `ai_requests`, which the application fills.",
            examples=["analytics/fct_exposures"],
        ),
    ] = None
    automation: Annotated[
        Literal["schedule", "upstream"],
        dg.Resolver.default(
            description="What starts an hour. `schedule`: a minute past every hour. `upstream`: as soon as the hour has"
            " landed in the upstream asset, which is partitioned by the hour or not at all.",
            examples=["schedule", "upstream"],
        ),
    ] = "schedule"
    minute: Annotated[
        int | None,
        dg.Resolver.default(
            description="Minute past the hour at which the schedule starts it; with `automation: upstream`, at which an"
            " hour that failed is started again. None: the setting `schedule_minute`, which is 5.",
            examples=[25],
        ),
    ] = None
    owners: Annotated[
        list[str] | None,
        dg.Resolver.default(
            description="Owners of the assets: e-mail addresses, or teams as `team:NAME`.",
            examples=[["team:growth"]],
        ),
    ] = None
    settings: Annotated[
        dict[str, Any] | None,
        dg.Resolver.default(
            description="The settings of the pipeline: AUTO_PROMOTION_* in lower case and without that prefix. With any"
            " of them the process's environment is not read; none at all: it is. Secrets as `{{ env.NAME }}`.",
            examples=[{"database_url": "{{ env.EXPERIMENTS_DATABASE_URL }}", "min_sample_size": 2000}],
        ),
    ] = field(default=None, repr=False)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The graph.

        Raises:
            ConfigError: a setting, the prefix or the automation cannot be.
        """
        try:
            return build_definitions(
                key_prefix=self.key_prefix or (),
                upstream=self.upstream,
                automation=self.automation,
                minute=self.minute,
                owners=self.owners or (),
                settings=self._given(),
            )
        except ConfigError as error:
            raise ConfigError(f"{context.path}: {error}") from None

    def _given(self) -> Mapping[str, object] | None:
        """The settings; a secret whose variable is unset would be an embedded server instead of the team's database."""
        if self.settings is None:
            return None
        if "database_url" in self.settings and not str(self.settings["database_url"] or "").strip():
            raise ConfigError(
                "settings.database_url is empty: set the variable that it names in the environment of the code location"
            )
        return self.settings
