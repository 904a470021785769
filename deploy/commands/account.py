"""`threadmill account`: who the service works for."""

import asyncio
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, words
from deploy.session import document, open_session
from shared import accounts, audit
from shared.accounts import Account

app = typer.Typer(no_args_is_help=True, help="Accounts: everything in the service belongs to one.")


@app.command(epilog="Example:  threadmill account create acme")
def create(
    name: Annotated[str, typer.Argument(help="A name that no other account has.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an account. It can do nothing yet: give it a token and an agent."""
    _show([asyncio.run(_create(data, name))], as_json, single=True)


@app.command("list", epilog="Example:  threadmill account list --json")
def list_(data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """List all accounts, the oldest first."""
    _show(asyncio.run(_list(data)), as_json)


async def _create(data: Path | None, name: str) -> Account:
    async with open_session(data) as connection:
        return await _audited(connection, name)


async def _audited(connection: asyncpg.Connection, name: str) -> Account:
    async with audit.entry(connection, audit.command_line(), "account.create", f"account {name}") as entry:
        created = await accounts.create_account(connection, name)
        entry.touched = 1
        return created


async def _list(data: Path | None) -> list[Account]:
    async with open_session(data) as connection:
        return await accounts.list_accounts(connection)


def _show(found: list[Account], as_json: bool, single: bool = False) -> None:
    if as_json:
        context.print_json(document(found[0]) if single else {"accounts": document(found)})
        return
    rows = [(one.id, one.name, "held" if one.held else "", words.moment(one.created_at)) for one in found]
    context.print_table(["id", "name", "state", "created (UTC)"], rows)
