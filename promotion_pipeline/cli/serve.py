"""`serve`: the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Host

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]


def register(app: typer.Typer) -> None:
    """Add `serve`."""
    summary = "Serve the HTTP API and the evidence page."
    app.command(
        "serve",
        short_help=summary,
        help=examples(summary, "promotion-pipeline serve", "promotion-pipeline serve --host 0.0.0.0 --port 8080"),
    )(serve)


def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve until interrupted."""
    from promotion_pipeline import api
    from promotion_pipeline.config import Settings

    api.serve(host, port, Settings.from_environment())
