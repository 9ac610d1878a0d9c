"""`import` and `evaluate`: sums from elsewhere in, decisions about past hours out."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
