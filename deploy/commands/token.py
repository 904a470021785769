"""`threadmill token`: what clients and operators show to be let in."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy import context, tables, words
from deploy.commands import limits
from deploy.errors import SetupError
from deploy.session import (
    AccountOption,
    AfterOption,
    LimitOption,
    OfAccountOption,
    YesOption,
    account_id,
    confirm,
    document,
    open_session,
    the_account,
)
from shared import accounts, audit, ids
from shared.accounts import CreatedToken, Token
from shared.errors import NotFound
from shared.ids import TokenId
from shared.inspect.actions import tokens as actions
from shared.inspect.page import Page
from shared.models import OPERATORS, TokenKind

app = typer.Typer(no_args_is_help=True, help="Tokens: their secrets are shown once and kept as SHA-256.")
app.command("limit", epilog="Example:  threadmill token limit 01K5XAMPLE0000000000000000 --rate 5")(limits.limit_token)

NameOption = Annotated[str, typer.Option("--name", help="What it is for: shown in lists.")]


@app.command(epilog="Example:  threadmill token create --account acme --kind service_token --name billing")
def create(
    account: AccountOption = None,
    kind: Annotated[
        TokenKind, typer.Option("--kind", help="`admin` and `viewer` belong to no account.")
    ] = TokenKind.HUMAN_PAT,
    name: NameOption = "",
    life: Annotated[str | None, typer.Option("--life", help="When it ends: 90d, 12h, 30min or 45s from now.")] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make a token and show its secret, this once. Without --life it ends when it is revoked."""
    created = asyncio.run(_create(data, account, kind, name, None if life is None else words.seconds(life)))
    if as_json:
        context.print_json({"token": document(created.token), "secret": created.secret.text})
        return
    _show([created.token])
    typer.echo(created.secret.text)
    typer.echo("This is the only time that the secret is shown.", err=True)


@app.command("list", epilog="Example:  threadmill token list --account acme")
def list_(
    account: OfAccountOption = None,
    kind: Annotated[TokenKind | None, typer.Option("--kind", help="Only those.")] = None,
    revoked: Annotated[
        bool | None, typer.Option("--revoked/--active", help="Only those that were revoked, or were not.")
    ] = None,
    limit: LimitOption = 1_000,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List tokens, of one account or of all, the oldest first: never their secrets."""
    found = asyncio.run(_list(data, limit, account, kind=kind, revoked=revoked, after=after))
    if as_json:
        context.print_json({"tokens": document(found.items), "after": found.after})
        return
    _show(found.items)
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill token revoke 01K5XAMPLE0000000000000000 --yes")
def revoke(
    token: Annotated[str, typer.Argument(help="The id of the token, as `token list` shows it.")],
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """End a token for good. Every process refuses it within 30 seconds.

    It asks, and says how many end with it, unless --yes is said.
    """
    wanted = ids.parse(token)
    if wanted is None:
        raise NotFound(f"{token!r} is no id of a token: see `threadmill token list`.")
    if not yes:
        lent = asyncio.run(_lent(data, TokenId(wanted)))
        others = f" and {lent:,} that the playground was lent with it" if lent else ""
        confirm(f"Revoke the token {wanted}{others}?", yes)
    _show_one(asyncio.run(_revoke(data, TokenId(wanted))), as_json)


@app.command("import", epilog="Example:  threadmill token import --account acme < secret.txt")
def import_(
    account: AccountOption = None,
    name: NameOption = "",
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Take over a `grt_pat_…` or `grt_svc_…` token, read from standard input, never an argument."""
    _show_one(asyncio.run(_import(data, account, _read_secret(), name)), as_json)


def _read_secret() -> str:
    """From a terminal unseen, else one line; an argument would be seen by everybody on the machine."""
    if sys.stdin.isatty():
        return str(typer.prompt("Token", hide_input=True, err=True)).strip()
    secret = sys.stdin.readline(1_024).strip()
    if not secret:
        raise SetupError("standard input holds no token")
    return secret


async def _create(
    data: Path | None, account: str | None, kind: TokenKind, name: str, life: float | None
) -> CreatedToken:
    if kind in OPERATORS and account is not None:
        raise SetupError(f"a token of kind {kind} belongs to no account: leave --account out")
    async with open_session(data) as connection:
        owner = None if kind in OPERATORS else (await the_account(connection, account)).id
        return await actions.create(connection, audit.command_line(), owner, kind, name, life)


async def _list(data: Path | None, limit: int, account: str | None, **which: Any) -> Page[Token]:
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        return await accounts.list_tokens(connection, limit, owner, **which)


async def _lent(data: Path | None, token: TokenId) -> int:
    """How many tokens end with it. Raises NotFound."""
    async with open_session(data) as connection:
        return await accounts.count_lent(connection, (await accounts.find_token(connection, token)).id)


async def _revoke(data: Path | None, token: TokenId) -> Token:
    async with open_session(data) as connection:
        return await actions.revoke(connection, audit.command_line(), token)


async def _import(data: Path | None, account: str | None, secret: str, name: str) -> Token:
    async with open_session(data) as connection:
        owner = await the_account(connection, account)
        deed = audit.entry(connection, audit.command_line(), "token.import", f"token {name}".strip(), account=owner.id)
        async with deed as entry:
            imported = await accounts.import_token(connection, owner.id, secret, name)
            entry.touched = 1
            return imported


def _show_one(found: Token, as_json: bool) -> None:
    if as_json:
        context.print_json(document(found))
    else:
        _show([found])


def _show(found: list[Token]) -> None:
    rows = [
        (
            t.id,
            t.prefix + "…",
            t.kind,
            t.name,
            t.account or "",
            words.moment(t.created_at),
            words.moment(t.expires_at),
            words.moment(t.revoked_at),
            t.lent_by or "",
        )
        for t in found
    ]
    context.print_table(
        ["id", "secret", "kind", "name", "account", "created (UTC)", "ends (UTC)", "revoked (UTC)", "lent by"], rows
    )
