"""dagster-slack's resource with a base URL; a module of its own because dagster-slack imports Dagster."""

from __future__ import annotations

from dagster_slack import SlackResource
from pydantic import Field
from slack_sdk.web.client import WebClient

from promotion_pipeline.notifications.channels import ANSWER_SECONDS


class SlackResourceWithUrl(SlackResource):
    """A `SlackResource` whose server can be chosen, and which tries once.

    The client's own retries are off: they repeat a message whose connection was cut, which may have arrived.
    """

    base_url: str = Field(default="https://slack.com/api/", description="Base of the Web API.")
    timeout_seconds: int = Field(default=int(ANSWER_SECONDS), description="Seconds to connect and to answer.")

    def get_client(self) -> WebClient:
        """The client."""
        return WebClient(token=self.token, base_url=self.base_url, timeout=self.timeout_seconds, retry_handlers=[])
