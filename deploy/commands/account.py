"""`threadmill account`: who the service works for."""

import asyncio
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, tables, words
from deploy.commands import limits
from deploy.session import AfterOption, LimitOption, document, open_session
from shared import accounts, audit
from shared.accounts import Account
from shared.inspect.page import Page

app = typer.Typer(no_args_is_help=True, help="Accounts: everything in the service belongs to one.")
app.command("limit", epilog="Example:  threadmill account limit acme --rate 50 --burst 100")(limits.limit_account)
app.command("show", epilog="Example:  threadmill account show acme")(limits.show_account)


@app.command(epilog="Example:  threadmill account create acme")
def create(
    name: Annotated[str, typer.Argument(help="A name that no other account has.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an account. It can do nothing yet: give it a token and an agent."""
    made = asyncio.run(_create(data, name))
    if as_json:
        context.print_json(document(made))
    else:
        _show([made])


@app.command("list", epilog="Example:  threadmill account list --json")
def list_(
    limit: LimitOption = 1_000,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List accounts, the oldest first."""
    found = asyncio.run(_list(data, limit, after))
    if as_json:
        context.print_json({"accounts": document(found.items), "after": found.after})
        return
    _show(found.items)
    tables.show_more(found.after)


async def _create(data: Path | None, name: str) -> Account:
    async with open_session(data) as connection:
        return await _audited(connection, name)


async def _audited(connection: asyncpg.Connection, name: str) -> Account:
    async with audit.entry(connection, audit.command_line(), "account.create", f"account {name}") as entry:
        created = await accounts.create_account(connection, name)
        entry.touched = 1
        return created


async def _list(data: Path | None, limit: int, after: str | None) -> Page[Account]:
    async with open_session(data) as connection:
        return await accounts.list_accounts(connection, limit, after)


def _show(found: list[Account]) -> None:
    rows = [(one.id, one.name, "paused" if one.held else "", words.moment(one.created_at)) for one in found]
    context.print_table(["id", "name", "state", "created (UTC)"], rows)
