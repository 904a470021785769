"""A command's session with the servers: opened, checked, bounded; and the questions it may ask its user."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from pydantic_core import to_jsonable_python

from deploy import context
from deploy.errors import CommandError, SetupError
from shared import accounts, inspect
from shared.accounts import Account
from shared.db.migrate import check
from shared.ids import AccountId

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most rows to show.")]
AfterOption = Annotated[
    str | None, typer.Option("--after", help='Begin behind a page: what that one said under "after".')
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
AccountOption = Annotated[
    str | None,
    typer.Option("--account", "-a", help="Name or id of the account. Needed where there are several."),
]

OfAccountOption = Annotated[
    str | None, typer.Option("--account", "-a", help="Only those of this account, by its name or id.")
]


@asynccontextmanager
async def open_session(data: Path | None) -> AsyncIterator[asyncpg.Connection]:
    """One connection to the database that the command means, of this version, its reads bounded.

    Raises SetupError, SchemaTooOld, SchemaTooNew, CommandError for a read that took too long.
    """
    async with context.connected(context.resolve(data)) as connection:
        await check(connection)
        await inspect.bound(connection)
        try:
            yield connection
        except asyncpg.QueryCanceledError as error:
            seconds = inspect.READ_LIMIT_MS // 1_000
            raise CommandError(f"took longer than {seconds} s and was ended: ask for less") from error
        except asyncpg.PostgresError as error:
            raise CommandError(f"Postgres refused: {context.reason(error)}") from error


async def the_account(connection: asyncpg.Connection, named: str | None) -> Account:
    """The account that is named, else the only one. Raises NotFound, SetupError."""
    if named is not None:
        return await accounts.find_account(connection, named)
    found = (await accounts.list_accounts(connection, 2)).items
    if len(found) != 1:
        raise SetupError(f"there {'are several accounts: name one with --account' if found else 'is no account'}")
    return found[0]


async def account_id(connection: asyncpg.Connection, named: str | None) -> AccountId | None:
    """The id of the account that is named, or None: all of them. Raises NotFound."""
    return None if named is None else (await accounts.find_account(connection, named)).id


def confirm(question: str, yes: bool) -> None:
    """Asks before much is touched, or what can't be taken back. Raises SetupError where nobody can answer, CommandError
    where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SetupError("this has to be confirmed: say --yes, or run it in a terminal")
    if not typer.confirm(question, err=True):
        raise CommandError("Nothing was done.")


def document(value: object) -> Any:
    """Records as plain JSON values: fields by name, times RFC 3339 in UTC."""
    return to_jsonable_python(_by_name(value))


def _by_name(value: object) -> object:
    """Records, tuples or not, as dicts of their fields, all the way down."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _by_name(field) for name, field in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _by_name(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_by_name(item) for item in value]
    if isinstance(value, dict):
        return {key: _by_name(item) for key, item in value.items()}
    return value
