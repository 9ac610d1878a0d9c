"""`promotion-pipeline serve`: the application behind uvicorn."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from ipaddress import ip_address

import uvicorn

from promotion_pipeline.api.app import create_app
from promotion_pipeline.api.protocol import MOST_CONNECTIONS, MOST_HEADER_BYTES, BoundedProtocol
from promotion_pipeline.config import ENVIRONMENT_PREFIX, MINIMUM_SECRET_LENGTH, Settings
from promotion_pipeline.errors import ConfigError, DependencyError
from promotion_pipeline.store.database import open_store

CRON_SECRET_VARIABLE = ENVIRONMENT_PREFIX + "CRON_SECRET"
GRACE_SECONDS = 30
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies and clients keep idle connections, so that none is closed under a request."""

logger = logging.getLogger("promotion_pipeline.api")


def serve(host: str = "127.0.0.1", port: int = 8000, settings: Settings | None = None) -> None:
    """Serve until interrupted; acts that are under way are finished first.

    Raises:
        ConfigError: a setting is wrong; an empty or short cron secret is refused here.
        DependencyError: the port is in use, the database cannot be reached, or its schema is behind or ahead.
    """
    known = Settings.from_environment() if settings is None else settings
    require_sound_secret(known, os.environ)
    require_free(host, port)
    _log_to_stderr()
    if not _is_loopback(host):
        logger.warning("listening on %s: put a proxy with TLS in front, tokens travel in every request", host)
    with open_store(known) as store:
        uvicorn.run(
            create_app(store, known),
            host=host,
            port=port,
            # uvicorn's line would show the query string; ours does not, and has the request's id.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            http=BoundedProtocol,
            ws="none",
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            limit_concurrency=MOST_CONNECTIONS,
        )


def require_free(host: str, port: int) -> None:
    """Refuse to begin where somebody listens already.

    Raises:
        DependencyError: the address is in use, or is none of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DependencyError(
                f"cannot listen on port {port} of {host} ({error.strerror or error}): end what uses it, or choose"
                " another with --port"
            ) from None


def require_sound_secret(settings: Settings, environment: Mapping[str, str]) -> None:
    """Refuse to open the door with a secret that is set, but is none.

    Raises:
        ConfigError: it is blank or short.
    """
    given = environment.get(CRON_SECRET_VARIABLE)
    if given is not None and not given.strip():
        raise ConfigError(
            f"{CRON_SECRET_VARIABLE} is set but empty: unset it, or make one with:"
            ' python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    secret = settings.cron_secret
    if secret is not None and len(secret.get_secret_value().strip()) < MINIMUM_SECRET_LENGTH:
        raise ConfigError(f"{CRON_SECRET_VARIABLE} is shorter than {MINIMUM_SECRET_LENGTH} characters")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stderr() -> None:
    """One line a record on stderr, unless the program that embeds this has set logging up."""
    if not logging.getLogger().handlers:
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
