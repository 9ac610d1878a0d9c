"""`db`: the schema of a database that the product does not keep by itself, and what it need not keep."""

from __future__ import annotations

from typing import Annotated, Any

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
            "promotion-pipeline db grants promotion_runtime",
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
        more="Existing tables ab_experiments, ab_variants, ai_requests and experiment_promotions are adopted: what is"
        " missing is added, nothing is renamed or dropped. What cannot be adopted is refused before anything is"
        " changed. The embedded database is always up to date.",
    ),
)
def upgrade(as_json: Json = False) -> None:
    """Upgrade the schema to the newest revision."""
    from promotion_pipeline.config import Settings
    from promotion_pipeline.store import migrate
    from promotion_pipeline.store.connection import checked_url
    from promotion_pipeline.store.database import open_store

    settings, made = Settings.from_environment(), None
    before: str | None = None
    if settings.database_url is None:
        with open_store(settings) as store:
            after = migrate.upgrade(store.url)
    else:
        url = checked_url(settings.database_url.get_secret_value())
        before = migrate.current_revision(url)
        after = migrate.upgrade(url)
        made = _made(url) if before is None else None
    if as_json:
        output.print_json({"before": before, "after": after} | (made or {}))
    else:
        if made is not None:
            adopted = ", ".join(f"{schema}.{name}" for name, schema in made["adopted"].items())
            output.print_line(f"adopted: {adopted or 'nothing, no table of an application was there'}")
            output.print_line(f"created in the schema {made['schema']}: {', '.join(made['created'])}")
        output.print_line(f"the schema is at revision {after}")


def _made(url: str) -> dict[str, Any]:
    """What the first upgrade found, and what it made."""
    from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES, creation_schema
    from promotion_pipeline.store.adoption.ours import adopted_tables, our_tables
    from promotion_pipeline.store.connection import connect

    with connect(url) as connection:
        adopted, schema = adopted_tables(connection), creation_schema(connection)
    own = [name for name in ADOPTED_TABLES if name not in adopted]
    return {"adopted": adopted, "schema": schema, "created": [*own, f"{len(our_tables())} tables of the product"]}


@db.command(
    "grants",
    short_help="The rights that a role needs to run the product.",
    help=examples(
        "Print the GRANT statements for a role that runs the product but may create, alter and drop nothing.",
        "promotion-pipeline db grants promotion_runtime | psql postgresql://owner@db.example.com/app",
        more="Nothing is granted by this command. Run `db upgrade` as the owner of the tables. An application that"
        " writes its own tables needs no grant: what its writes set off runs with the rights of who ran `db upgrade`.",
    ),
)
def grants(role: Annotated[str, typer.Argument(help="Role of the daemon, the API and the commands.")]) -> None:
    """Print what a runtime role needs."""
    from promotion_pipeline.store.adoption.grants import runtime_grants
    from promotion_pipeline.store.database import current_store

    with current_store().connect() as connection:
        for statement in runtime_grants(connection, role):
            output.print_line(statement)


@db.command(
    "execute",
    short_help="Run one statement of SQL.",
    help=examples(
        "Run one statement of SQL on the product's database, embedded or not; prints how many rows it touched.",
        "promotion-pipeline db execute \"UPDATE ab_experiments SET is_active = false WHERE name = 'checkout'\"",
        more="For the one line that `doctor` or a message names, where there is no psql.",
    ),
)
def execute(statement: Annotated[str, typer.Argument(help="The statement.")]) -> None:
    """Run a statement, in a transaction."""
    import psycopg

    from promotion_pipeline.errors import InputError
    from promotion_pipeline.store.database import current_store

    with current_store().connect() as connection:
        try:
            with connection.transaction():
                done = connection.execute(statement.encode())
        except psycopg.Error as error:
            raise InputError(f"the database refuses the statement: {' '.join(str(error).split())}") from None
    output.print_line(f"{done.statusmessage}")
