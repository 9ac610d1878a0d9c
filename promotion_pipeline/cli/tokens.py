"""`tokens`: who may use the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import By, Json, actor

if TYPE_CHECKING:
    from promotion_pipeline.api.tokens import Token

TokenName = Annotated[str, typer.Argument(metavar="NAME", help="Whom the history names.", show_default=False)]
Role = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="viewer reads, operator acts, admin also sees tokens; for applications: evaluate asks for variants, ingest"
        " sends requests and events.",
    ),
]
OnBehalf = Annotated[
    bool, typer.Option("--on-behalf", help="For a service that knows its users: who a request names is the actor.")
]
Days = Annotated[float | None, typer.Option("--days", metavar="N", help="Days until it expires; default: never.")]

tokens = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add `tokens` with its commands."""
    summary = "Make, list and revoke the tokens of the HTTP API."
    lines = ("promotion-pipeline tokens create maria --role operator", "promotion-pipeline tokens list")
    app.add_typer(tokens, name="tokens", short_help=summary, help=examples(summary, *lines))


CREATE = "Make a token and print it, once."


@tokens.command(
    "create",
    short_help=CREATE,
    help=examples(
        CREATE,
        "promotion-pipeline tokens create maria --role operator",
        "promotion-pipeline tokens create dashboard --role viewer --days 90",
        "promotion-pipeline tokens create shop-admin --role operator --on-behalf",
        "promotion-pipeline tokens create shop --role evaluate",
    ),
)
def create(
    name: TokenName,
    role: Role = "viewer",
    days: Days = None,
    on_behalf: OnBehalf = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Make a token."""
    from promotion_pipeline.api.tokens import Role as TokenRole
    from promotion_pipeline.api.tokens import create_token
    from promotion_pipeline.store.database import current_store

    secret, token = create_token(current_store(), name, role, actor(by), lifetime_days=days, on_behalf=on_behalf)
    if as_json:
        output.print_json({"token": secret, **_as_json(token)})
        return
    output.print_line(secret)
    use = (
        "Log in with it on the evidence page, or send it as" if token.role.includes(TokenRole.VIEWER) else "Send it as"
    )
    output.note(f"Keep it (role {token.role}): it cannot be shown again. {use} Authorization: Bearer TOKEN")


LIST = "List the tokens, without their secrets."


@tokens.command("list", short_help=LIST, help=examples(LIST, "promotion-pipeline tokens list"))
def list_all(as_json: Json = False) -> None:
    """List every token."""
    from promotion_pipeline.api.tokens import list_tokens
    from promotion_pipeline.store.database import current_store

    found = list_tokens(current_store())
    if as_json:
        output.print_json([_as_json(token) for token in found])
    elif not found:
        output.note("There are no tokens. Make one with: promotion-pipeline tokens create NAME --role operator")
    else:
        rows = [
            [token.name, _role(token), output.when(token.created_at), output.when(token.expires_at), _state(token)]
            for token in found
        ]
        output.print_table(["name", "role", "created", "expires", "last used"], rows)


REVOKE = "Make a token useless from now on."


@tokens.command("revoke", short_help=REVOKE, help=examples(REVOKE, "promotion-pipeline tokens revoke maria"))
def revoke(name: TokenName, by: By = None, as_json: Json = False) -> None:
    """Revoke a token by its name or id."""
    from promotion_pipeline.api.tokens import revoke_token
    from promotion_pipeline.store.database import current_store

    token = revoke_token(current_store(), name, actor(by))
    if as_json:
        output.print_json(_as_json(token))
    else:
        output.print_line(f"the token of {token.name} is revoked")


def _role(token: Token) -> str:
    return f"{token.role}, on behalf of people" if token.on_behalf else token.role.value


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {output.when(token.revoked_at)} by {token.revoked_by}"
    return "never" if token.last_used_at is None else output.when(token.last_used_at)


def _as_json(token: Token) -> dict[str, Any]:
    times = {
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "lastUsedAt": token.last_used_at,
        "revokedAt": token.revoked_at,
    }
    return {
        "id": str(token.id),
        "name": token.name,
        "role": token.role.value,
        "onBehalf": token.on_behalf,
        "createdBy": token.created_by,
        "revokedBy": token.revoked_by,
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }
