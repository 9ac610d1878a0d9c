"""dagster-slack's resource with a base URL; a module of its own because dagster-slack imports Dagster."""

from __future__ import annotations

import logging

from dagster_slack import SlackResource
from pydantic import Field
from slack_sdk.web.client import WebClient

from promotion_pipeline.notifications.channels.port import ANSWER_SECONDS


class SlackResourceWithUrl(SlackResource):
    """A `SlackResource` whose server can be chosen, and which tries once.

    The client's own retries are off: they repeat a message whose connection was cut, which may have arrived.
    """

    base_url: str = Field(default="https://slack.com/api/", description="Base of the Web API.")
    timeout_seconds: float = Field(default=ANSWER_SECONDS, description="Seconds to connect and to answer.")

    def get_client(self) -> WebClient:
        """The client."""
        return WebClient(
            token=self.token,
            base_url=self.base_url,
            timeout=self.timeout_seconds,  # type: ignore[arg-type]  # declared int, passed on to a socket
            retry_handlers=[],
            logger=_quiet_logger(),
        )


def _quiet_logger() -> logging.Logger:
    """The client logs every failed request as an error; the delivery says the same once, with what it does about it."""
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.CRITICAL)
    return logger
