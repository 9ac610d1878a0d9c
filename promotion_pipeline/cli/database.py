"""`db`: the schema of a database that the product does not keep by itself, and what it need not keep."""

from __future__ import annotations

import typer

from promotion_pipeline.cli import forget, output, prune, retention
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json

db = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add `db` with its commands."""
    app.add_typer(
        db,
        name="db",
        short_help="The database: its schema, and what it need not keep.",
        help=examples(
            "The database: its schema, and what it need not keep.",
            "promotion-pipeline db upgrade",
            "promotion-pipeline db drop-requests --keep-days 90 --dry-run",
            "promotion-pipeline db prune-runs --older-than-days 90 --dry-run",
            "promotion-pipeline db forget-user user-4711 --dry-run",
        ),
    )
    retention.add_to(db)
    prune.add_to(db)
    forget.add_to(db)


@db.command(
    "upgrade",
    short_help="Create or update the tables.",
    help=examples(
        "Create or update the tables of AUTO_PROMOTION_DATABASE_URL; nothing is done where they are up to date.",
        "AUTO_PROMOTION_DATABASE_URL=postgresql://me:secret@db.example.com/app promotion-pipeline db upgrade",
        more="Existing tables ab_experiments, ab_variants and ai_requests are adopted: missing columns are added."
        " The embedded database is always up to date.",
    ),
)
def upgrade(as_json: Json = False) -> None:
    """Upgrade the schema to the newest revision."""
    from promotion_pipeline.config import Settings
    from promotion_pipeline.store import migrate
    from promotion_pipeline.store.database import checked_url, open_store

    settings = Settings.from_environment()
    if settings.database_url is None:
        with open_store(settings) as store:
            before, after = None, migrate.current_revision(store.url)
    else:
        url = checked_url(settings.database_url.get_secret_value())
        before = migrate.current_revision(url)
        migrate.upgrade(url)
        after = migrate.current_revision(url)
    if as_json:
        output.print_json({"before": before, "after": after})
    else:
        output.print_line(f"the schema is at revision {after}")
