"""`tokens`: who may use the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import By, actor

if TYPE_CHECKING:
    from promotion_pipeline.store.tokens import Token

TokenName = Annotated[
    str, typer.Argument(metavar="NAME", help="Who the history will name: a person or a service.", show_default=False)
]
NameOrId = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the token.", show_default=False)]
RoleOption = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="viewer: read. operator: act. admin: also manage tokens.")
]
Lifetime = Annotated[
    float | None, typer.Option("--expires-days", metavar="DAYS", help="Days until it expires; default: it does not.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

tokens_app = typer.Typer(
    no_args_is_help=True,
    help=examples(
        "Make, list and revoke the bearer tokens of the HTTP API.",
        "promotion-pipeline tokens create maria --role operator",
        "promotion-pipeline tokens list",
        "promotion-pipeline tokens revoke maria",
    ),
)


def register(app: typer.Typer) -> None:
    """Add `tokens` with its commands."""
    app.add_typer(tokens_app, name="tokens", short_help="Make, list and revoke tokens of the HTTP API.")


@tokens_app.command(
    "create",
    short_help="Make a token and print it once.",
    help=examples(
        "Make a token and print it. It is stored as a hash only: this is the one time that it can be read.",
        "promotion-pipeline tokens create maria --role operator",
        "promotion-pipeline tokens create dashboard --role viewer --expires-days 90",
    ),
)
def create(
    name: TokenName, role: RoleOption = "viewer", expires_days: Lifetime = None, by: By = None, as_json: AsJson = False
) -> None:
    """Make a token."""
    from promotion_pipeline.store.database import current_store
    from promotion_pipeline.store.tokens import create_token

    secret, token = create_token(current_store(), name, role, actor(by), lifetime_days=expires_days)
    if as_json:
        output.print_json({"token": secret, **_shown(token)})
        return
    output.print_line(secret)
    output.note(f"{token.role.value} token of {token.name!r}: keep it now, it cannot be read again")
    output.note("send it as the header Authorization: Bearer TOKEN")


@tokens_app.command(
    "list",
    short_help="List every token, without its secret.",
    help=examples(
        "List every token, without its secret.",
        "promotion-pipeline tokens list",
        "promotion-pipeline tokens list --json",
    ),
)
def list_all(as_json: AsJson = False) -> None:
    """List every token."""
    from promotion_pipeline.store.database import current_store
    from promotion_pipeline.store.tokens import list_tokens

    found = list_tokens(current_store())
    if as_json:
        output.print_json([_shown(token) for token in found])
        return
    if not found:
        output.note("no tokens yet: make one with `promotion-pipeline tokens create NAME --role operator`")
        return
    columns = ("name", "role", "created", "by", "last used", "expires", "revoked")
    output.print_table(
        columns,
        [
            (
                token.name,
                token.role.value,
                output.when(token.created_at),
                token.created_by,
                output.when(token.last_used_at),
                output.when(token.expires_at),
                output.when(token.revoked_at),
            )
            for token in found
        ],
    )


@tokens_app.command(
    "revoke",
    short_help="Make a token useless from now on.",
    help=examples("Make a token useless from now on.", "promotion-pipeline tokens revoke maria"),
)
def revoke(name: NameOrId, by: By = None) -> None:
    """Revoke a token."""
    from promotion_pipeline.store.database import current_store
    from promotion_pipeline.store.tokens import revoke_token

    token = revoke_token(current_store(), name, actor(by))
    output.note(f"revoked the {token.role.value} token of {token.name!r}")


def _shown(token: Token) -> dict[str, Any]:
    """The JSON of a token, as the HTTP API has it."""
    instants = {
        name: None if value is None else value.isoformat()
        for name, value in (
            ("createdAt", token.created_at),
            ("expiresAt", token.expires_at),
            ("lastUsedAt", token.last_used_at),
            ("revokedAt", token.revoked_at),
        )
    }
    names = {"id": str(token.id), "name": token.name, "role": token.role.value}
    return {**names, **instants, "createdBy": token.created_by, "revokedBy": token.revoked_by}
